// FollowStream: one Follow stream at the slave, gRPC's side of it. What is said is the owner's
// business.
//
// Reads ahead, but no further than the owner keeps up; acknowledgements collect while one is on its
// way. Thread-safe. Lives until gRPC is done with it and nobody else holds it.

#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/status/status.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/mutex.h"

namespace dunlin::replicator {

namespace v1 = dunlin::replication::v1;

class FollowStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Called on gRPC's threads, one call after the other.
  class Owner {
   public:
    // An error ends the stream, and is what OnEnded says. Taken() follows, then or later.
    virtual absl::Status OnAnswer(FollowStream& stream, const grpc::ByteBuffer& answer) = 0;
    // The last call, when the stream itself may be gone; never with OK.
    virtual void OnEnded(uint64_t number, const absl::Status& why) = 0;

   protected:
    ~Owner() = default;
  };

  // `owner` must live until OnEnded.
  static std::shared_ptr<FollowStream> Make(uint64_t number, Owner& owner,
                                            const std::shared_ptr<grpc::Channel>& channel);
  // Says hello. Called once.
  void Begin(const v1::Hello& hello) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t number() const { return number_; }

  void Send(const v1::Proof& proof) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes the place of one that is not on its way yet; credit adds up.
  void Send(const v1::Ack& ack) ABSL_LOCKS_EXCLUDED(mutex_);
  // The owner is done with so many answers: as many more may come.
  void Taken(int answers) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  FollowStream(uint64_t number, Owner& owner, const std::shared_ptr<grpc::Channel>& channel);

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nothing is read or written any more: gRPC may end the call.
  void Close() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t number_;
  Owner& owner_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  std::shared_ptr<FollowStream> self_;  // until OnDone
  grpc::ByteBuffer received_;           // of the read under way

  Mutex mutex_;
  std::deque<v1::FollowRequest> unsent_ ABSL_GUARDED_BY(mutex_);  // hello and proof
  std::optional<v1::Ack> ack_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  int untaken_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status why_ ABSL_GUARDED_BY(mutex_);  // not OK: we ended it
};

}  // namespace dunlin::replicator
