// FollowCall: one Follow stream at the master, gRPC's side of it: requests in, answers out one at a
// time, an orderly end. What is said is the owner's business.
//
// Thread-safe. Lives until gRPC is done with it and nobody else holds it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/mutex.h"

namespace dunlin::replicator {

class FollowCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Called on gRPC's threads: must not block. A call's requests come one after the other.
  class Owner {
   public:
    // An error ends the stream.
    virtual absl::Status OnRequest(FollowCall& call,
                                   const dunlin::replication::v1::FollowRequest& request) = 0;
    // The next answer may be written.
    virtual void OnWritten(FollowCall& call) = 0;
    // Nothing comes any more; the last call for it.
    virtual void OnDone(FollowCall& call) = 0;

   protected:
    ~Owner() = default;
  };

  // `owner` and `context` must live until OnDone. `number` tells the streams of a process apart.
  static std::shared_ptr<FollowCall> Make(uint64_t number, Owner& owner,
                                          grpc::CallbackServerContext& context);
  // Reads the first request. Called once.
  void Begin();

  uint64_t number() const { return number_; }

  // Writes `answer` unless another one is still on its way (false) or the stream has ended (true:
  // nobody waits for it any more).
  bool Write(const grpc::ByteBuffer& answer) ABSL_LOCKS_EXCLUDED(mutex_);
  bool ended() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the stream, behind the answer that is on its way. The first status counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, without waiting for a slave that may have stopped reading.
  void EndNow(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  FollowCall(uint64_t number, Owner& owner, grpc::CallbackServerContext& context)
      : number_(number), owner_(owner), context_(context) {}

  // Whether a write is on its way that the end waits for.
  bool EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t number_;
  Owner& owner_;
  grpc::CallbackServerContext& context_;
  std::shared_ptr<FollowCall> self_;  // until OnDone
  grpc::ByteBuffer received_;         // of the read under way

  mutable Mutex mutex_;
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::replicator
