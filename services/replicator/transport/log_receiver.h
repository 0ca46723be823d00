// LogReceiver: the slave's side of Follow: connects to the master, again and again, proves who it
// is, and hands on what comes, checked to be what was sent.
//
// What comes is told to a listener on gRPC's threads; everything else is called by one thread, the
// driver's, which also lends its time: Tick connects again and notices a master that says nothing.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/replicator/coordinator/instant.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/transport/callback_threads.h"
#include "services/replicator/transport/follow_frame.h"
#include "services/replicator/transport/follow_stream.h"
#include "services/replicator/transport/handshake.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {

class LogReceiver final : private FollowStream::Owner {
 public:
  struct Options {
    bool learner = false;
    uint64_t credit_bytes = 8u << 20;  // what may be on its way, or wait to be written
    Duration silence = std::chrono::seconds(3);
    Duration first_retry = std::chrono::milliseconds(50);
    Duration last_retry = std::chrono::seconds(1);
    std::shared_ptr<grpc::ChannelCredentials> credentials;  // null: plaintext
  };

  struct Frame {
    FrameHeader header;
    std::string_view records;
    std::shared_ptr<const FlatBuffer> bytes;  // where `records` lies
  };
  // Called on gRPC's threads, for one stream one after the other: must not block. `stream` is a
  // number that is never used twice in a process.
  class Listener {
   public:
    virtual void OnStreamStart(uint64_t stream, const StreamStart& start) = 0;
    // In order, without a gap, unchanged. Acknowledge follows, for one or for several.
    virtual void OnFrame(uint64_t stream, Frame frame) = 0;
    virtual void OnStreamBroken(uint64_t stream, const absl::Status& why) = 0;

   protected:
    ~Listener() = default;
  };

  // `hello` is asked when a stream begins, within Tick. `listener` must outlive the receiver.
  LogReceiver(Identity identity, Options options, InstantSource now, std::function<Hello()> hello,
              Listener& listener);
  ~LogReceiver();  // Stop

  // Connects at the next Tick, and again whenever a stream ends.
  void Follow(const MemberName& master, const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_);
  void StopFollowing() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends this stream; the next one comes later.
  void Drop(uint64_t stream, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells the master what is here. `frames` with `bytes` of records are done with.
  void Acknowledge(uint64_t stream, const Ack& ack, int frames, uint64_t bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The same without anything to tell, and without more credit: they could not be taken.
  void Release(uint64_t stream, int frames) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(Instant now) ABSL_LOCKS_EXCLUDED(mutex_);
  Instant wake_at() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends everything, and returns when the last stream is gone. Idempotent. By that thread, too, or
  // after its end: not while it connects.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  enum class Expecting { kChallenge, kStart, kFrames };

  // Of one stream: what has been heard.
  struct Conversation {
    std::shared_ptr<FollowStream> stream;
    SlaveHandshake handshake;
    Expecting expecting = Expecting::kChallenge;
    FrameChain chain;
    Epoch epoch;
    LogOffset next;         // where the frame before ended
    LogOffset segment_end;  // and its segment
    Instant begun;
    bool proven = false;  // it brought records, or lasted
  };

  absl::Status OnAnswer(FollowStream& stream, const grpc::ByteBuffer& answer) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnded(uint64_t stream, const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status OnChallenge(Conversation& talk, const v1::FollowResponse& answer);
  absl::Status OnStart(Conversation& talk, const v1::FollowResponse& answer)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnFrame(Conversation& talk, std::shared_ptr<const FlatBuffer> bytes);
  // The next attempt comes soon again, and its problem is news: with a stream that began and broke
  // off at once, as over a damaged record, neither is so.
  void Prove(Conversation& talk) ABSL_LOCKS_EXCLUDED(mutex_);
  // The stream's conversation while it is the present one.
  std::shared_ptr<Conversation> Find(uint64_t stream) const ABSL_LOCKS_EXCLUDED(mutex_);
  void Connect(Instant now) ABSL_LOCKS_EXCLUDED(mutex_);

  const Identity identity_;
  const Options options_;
  const InstantSource now_;
  const std::function<Hello()> hello_;
  Listener& listener_;
  const CallbackThreads threads_;

  mutable Mutex mutex_;
  CondVar gone_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  MemberName master_ ABSL_GUARDED_BY(mutex_);  // empty: nobody is followed
  std::string address_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;  // streams, the present one and those that still end
  // The present one. What is within belongs to the thread that has an answer of it.
  std::shared_ptr<Conversation> talk_ ABSL_GUARDED_BY(mutex_);
  Instant heard_ ABSL_GUARDED_BY(mutex_);
  Instant connect_at_ ABSL_GUARDED_BY(mutex_);
  Duration retry_ ABSL_GUARDED_BY(mutex_);
  std::string last_problem_ ABSL_GUARDED_BY(mutex_);  // said once, not at each attempt
};

}  // namespace dunlin::replicator
