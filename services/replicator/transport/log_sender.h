// LogSender: the master's side of Follow: lets members in, hands each its part of the log.
//
// It knows who the others are and how they prove it (handshake.h), and how the log gets to them
// (lane.h); whether a slave may follow, and from where on, its listener decides.
//
// Thread-safe. A member that is not the master has a sender too, whose listener refuses.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/transport/follow_call.h"
#include "services/replicator/transport/handshake.h"
#include "services/replicator/transport/lane.h"
#include "services/replicator/transport/log_source.h"

namespace dunlin::replicator {

class LogSender final : private FollowCall::Owner {
 public:
  // Called on gRPC's threads, for one stream one after the other: must not block, nor call the
  // sender. `stream` is a number that is never used twice in a process.
  class Listener {
   public:
    // A member has proved who it is: Start or Refuse is the answer.
    virtual void OnHello(uint64_t stream, const Hello& hello) = 0;
    virtual void OnAck(uint64_t stream, const Ack& ack) = 0;
    // For each stream that said hello.
    virtual void OnSlaveGone(uint64_t stream) = 0;

   protected:
    ~Listener() = default;
  };

  // `clock` and `listener` must outlive the sender.
  LogSender(Identity identity, const LaneOptions& options, const OpenLogSource& open,
            const Clock& clock, Listener& listener);
  ~LogSender();  // Stop

  // Who else is in the group from now on; a stream of somebody else is not let in any more. Those
  // that are served are ended by Refuse.
  void SetOthers(const std::set<MemberName>& others) ABSL_LOCKS_EXCLUDED(mutex_);

  // A new call; the stream belongs to gRPC.
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Follow(
      grpc::CallbackServerContext& context) ABSL_LOCKS_EXCLUDED(mutex_);

  // Sends the log as `start` says; `history` is its own.
  void Start(uint64_t stream, const StreamStart& start, const EpochHistory& history)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Refuse(uint64_t stream, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // How far the log goes now.
  void Advance(const LogExtent& extent) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the streams of all slaves; others may come.
  void DropAll(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends everything, and returns when the last stream is gone. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Call {
    std::shared_ptr<FollowCall> call;
    MasterHandshake handshake;
    v1::Hello hello;  // once it came
    bool proved = false;
    Lane* lane = nullptr;  // once it was started
  };

  absl::Status OnRequest(FollowCall& call, const v1::FollowRequest& request) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten(FollowCall& call) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(FollowCall& call) override ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status OnHelloRequest(FollowCall& call, const v1::Hello& hello) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnProofRequest(FollowCall& call, const v1::Proof& proof) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnAckRequest(FollowCall& call, const v1::Ack& ack) ABSL_LOCKS_EXCLUDED(mutex_);

  bool MaySayRefusal() ABSL_LOCKS_EXCLUDED(mutex_);
  void MakeLanes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // They live as long as the sender.
  std::vector<Lane*> Lanes() ABSL_LOCKS_EXCLUDED(mutex_);

  const LaneOptions lane_options_;
  const OpenLogSource open_;
  const Clock& clock_;
  Listener& listener_;

  Mutex mutex_;
  // Its `others` change under the mutex, the rest does not; handshakes look at it under the mutex.
  Identity identity_ ABSL_GUARDED_BY(mutex_);
  // One for each that is or was a member in this life of the process.
  std::map<MemberName, std::unique_ptr<Lane>> lanes_ ABSL_GUARDED_BY(mutex_);
  LogExtent extent_ ABSL_GUARDED_BY(mutex_);
  CondVar gone_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::chrono::nanoseconds say_refusal_at_ ABSL_GUARDED_BY(mutex_) =
      std::chrono::nanoseconds(0);  // not before, by BootTime
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);
  // Calls that have not proved who they are, oldest first: a newer one pushes the oldest out, so
  // that strangers who say nothing cost little, and do not keep members out. Whoever opens more
  // than fit within the round trip of a member's proof does: the port is no one for strangers.
  std::deque<uint64_t> strangers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::replicator
