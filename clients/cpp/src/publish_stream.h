// PublishStream: one Publish call to a broker and the queues that are sent over it.
//
// Connects when there is something to send, binds queues when they are first used, writes one frame
// after the other as long as the broker's credit lasts, and begins again with everything that is
// not answered when the call breaks. When it cannot be sent here, the host may take away what is
// not bound to this broker. Thread-safe; one short lock.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/publish_queue.h"
#include "clients/cpp/src/ticker.h"
#include "proto/dunlin/broker/v1/streams.pb.h"

namespace dunlin::internal {

struct TopicAt;
class PublishStream;

// A queue and what surrounds it.
struct Lane {
  Lane(TopicAt& at_of, PublishStream& stream_of, PublishQueue queue_of)
      : at(at_of), stream(stream_of), queue(std::move(queue_of)) {}

  TopicAt& at;
  PublishStream& stream;
  PublishQueue queue;  // under the stream's lock, like the flags
  bool binding = false;
  bool ready = false;
  bool paused = false;  // among those that the stream keeps as paused
  // Nothing new comes here before that (steady clock) while there are other queues.
  std::atomic<int64_t> avoid_until{0};
  // Where it stands among all queues that the topic's messages may go to.
  std::atomic<uint32_t> place{0};
};

struct BoundTopic {
  uint32_t id;
  uint32_t queues;
};

// What waited in `lane` and may go elsewhere.
struct Stranded {
  Lane* lane = nullptr;
  std::vector<std::unique_ptr<PublishBatch>> batches;
};

// What the streams of a producer tell it, never under a lock.
class PublishHost {
 public:
  virtual ~PublishHost() = default;
  virtual void OnOutcomes(Outcomes outcomes) = 0;
  // The answer to a binding: what the topic is, or an error.
  virtual void OnTopic(const Lane& lane, const absl::StatusOr<BoundTopic>& answer) = 0;
  // The broker cannot be reached, or does not do what it should: Evacuate may have something.
  virtual void OnTrouble(PublishStream& stream) = 0;
  // There is another broker for the messages of the lane. Under the stream's lock; takes none.
  virtual bool HasRefuge(const Lane& lane, SteadyTime now) = 0;
  // The lane is full, under way, in trouble or new: the next messages should go elsewhere. Under
  // the stream's lock; takes none.
  virtual void MoveOn(const Lane& lane, SteadyTime now) = 0;
};

class PublishStream final : public StreamOwner, public Ticking {
 public:
  struct Settings {
    uint64_t producer_id = 0;
    PublishQueue::Limits limits;
    std::chrono::milliseconds send_timeout{};
    std::shared_ptr<BufferPool> pool;
  };

  // `host` must outlive Shutdown, which must come before the end of the stream.
  PublishStream(std::shared_ptr<Connection> connection, const Settings& settings,
                PublishHost& host);

  // A lane for a queue of the topic named `name`; it lives as long as the stream. Null: a call has
  // no more bindings.
  Lane* AddLane(TopicAt& at, std::string_view name, std::string_view broker, uint32_t queue);
  // The broker has another name than was known.
  void Rename(std::string_view broker);
  // The broker is served by another server, or again: connects there at once if there is anything
  // to send.
  void MoveTo(std::shared_ptr<Connection> connection);

  // INVALID_ARGUMENT: larger than any request may be.
  absl::Status Append(Lane& lane, const MessageEncoder& message, Producer::Callback* callback);
  // Asks the broker about the lane's topic: OnTopic will tell.
  void Ask(Lane& lane);
  // The topic's name stands for another topic by now, or for none (0): what is bound to an old one
  // is bound anew.
  void Rebind(const TopicAt& at, uint32_t topic_id);
  // Nothing waits in the lane.
  bool IsEmpty(const Lane& lane);

  // What may go to another broker, unless the call is well: messages that were not sent, and those
  // that wait for too long. Lanes in which one has chosen its queue keep everything.
  std::vector<Stranded> Evacuate(SteadyTime now);
  void Adopt(Lane& lane, std::unique_ptr<PublishBatch> batch);

  // Fails what is left, ends the call and waits for its end.
  void Shutdown();

  void OnRead(grpc::ByteBuffer& bytes) override;
  void OnWritten() override;
  void OnEnd(const grpc::Status& status) override;
  void Tick(SteadyTime now) override;

 private:
  using Response = dunlin::broker::v1::PublishResponse;
  enum class State { kIdle, kConnecting, kOpen, kBackoff };
  struct TopicNews {
    Lane* lane;
    absl::StatusOr<BoundTopic> answer;
  };

  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Bind(Lane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkReady(Lane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What was refused for now goes on when its time has come.
  void ResumePaused(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The stream to write `bytes` to, once the lock is released; null: nothing may be written now.
  std::shared_ptr<ByteStream> NextWrite(grpc::ByteBuffer& bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pump();
  void OnOpened(const dunlin::broker::v1::PublishOpened& opened)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnBound(const dunlin::broker::v1::Bound& bound, Outcomes& outcomes,
               std::vector<TopicNews>& news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnAck(const dunlin::broker::v1::PublishAck& ack, Outcomes& outcomes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnError(const dunlin::broker::v1::PublishError& error, bool transient, Outcomes& outcomes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A batch expires with its first message. One that cannot leave is closed at this age, so that
  // the last message in it expires by a quarter of the time-out too early at most.
  std::chrono::milliseconds SealAge() const {
    return std::max(settings_.send_timeout / 8, std::chrono::milliseconds(1));
  }
  void ScheduleExpiry(SteadyTime when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Expire(SteadyTime now, Outcomes& outcomes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailAll(const absl::Status& status, Outcomes& outcomes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Older than that, what was sent may be sent elsewhere, too.
  std::chrono::milliseconds Patience() const { return settings_.send_timeout / 4; }
  // Something waits longer than it should; a call that seems well does not help it.
  bool IsStuck(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasPending() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Lane* Find(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Avoid(Lane& lane, SteadyTime now, std::chrono::nanoseconds length)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Ticker> ticker_;
  const Settings settings_;
  PublishHost& host_;

  Mutex mutex_;
  CondVar ended_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool moved_ ABSL_GUARDED_BY(mutex_) = false;  // since the call began
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // OnEnd still tells the host
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<grpc::ByteBuffer> control_ ABSL_GUARDED_BY(mutex_);     // goes before frames
  std::deque<std::unique_ptr<Lane>> lanes_ ABSL_GUARDED_BY(mutex_);  // by binding - 1
  std::deque<Lane*> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<Lane*> paused_ ABSL_GUARDED_BY(mutex_);
  size_t in_flight_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t credit_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t max_request_bytes_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // to connect and bind, in a row
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};
  SteadyTime answered_at_ ABSL_GUARDED_BY(mutex_){};  // anything
  // The broker has too much to do, and asked for silence until then.
  SteadyTime held_until_ ABSL_GUARDED_BY(mutex_){};
  bool expiry_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
