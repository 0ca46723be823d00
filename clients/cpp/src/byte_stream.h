// ByteStream: one bidirectional gRPC call whose messages are bytes.
//
// Reads without a pause and hands every message to its owner; writes one message at a time. It
// lives until gRPC is done with it, whoever else holds it. Thread-safe.
//
// A channel must not go on one of gRPC's threads, which gRPC would then wait for. The call holds
// its channel: the owner lets go of the call in OnEnd at the latest, and outlives OnEnd.

#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "services/base/mutex.h"

namespace dunlin::internal {

class Connection;

// Called from gRPC's threads, one call at a time for reads, and one for the end after all others.
class StreamOwner {
 public:
  virtual ~StreamOwner() = default;
  virtual void OnRead(grpc::ByteBuffer& bytes) = 0;
  // The last Write is through (or the stream is broken: OnEnd will tell); the next may begin.
  virtual void OnWritten() = 0;
  virtual void OnEnd(const grpc::Status& status) = 0;
};

class ByteStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Starts the call. `owner` must outlive its OnEnd, and hold the stream until then.
  static std::shared_ptr<ByteStream> Start(const Connection& connection, const std::string& method,
                                           StreamOwner& owner);

  // REQUIRES: no other Write is under way. Does nothing when the stream is broken.
  void Write(const grpc::ByteBuffer& bytes);
  // Says that no more will be written; the server then ends the call. REQUIRES: as Write.
  void Finish();
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnWritesDoneDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  ByteStream(const Connection& connection, StreamOwner& owner);
  bool BeginWrite() ABSL_LOCKS_EXCLUDED(mutex_);
  // The call that starts a write has returned.
  void EndStart() ABSL_LOCKS_EXCLUDED(mutex_);
  // The write is done.
  void EndWrite() ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing is under way, and nothing will be started any more. Becomes true once.
  bool IsOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return broken_ && !writing_ && starting_ == 0;
  }

  grpc::ClientContext context_;
  StreamOwner& owner_;
  std::shared_ptr<ByteStream> self_;  // until OnDone
  grpc::ByteBuffer reading_;
  grpc::ByteBuffer writing_bytes_;
  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  // Calls into gRPC that start a write: the write may be done, and all else, before they return,
  // and gRPC must not be done with the stream meanwhile.
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;
  // The reading side has ended: nothing may be started but what has begun.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
