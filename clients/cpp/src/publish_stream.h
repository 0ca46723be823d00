// PublishStream: one Publish call to the broker and the queues that are sent over it.
//
// Connects when there is something to send, binds queues when they are first used, writes one frame
// after the other as long as the broker's credit lasts, and begins again with everything that is
// not answered when the call breaks. Thread-safe; one short lock.

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

struct Topic;
class PublishStream;

// A queue and what surrounds it.
struct Lane {
  Lane(Topic& topic_of, PublishStream& stream_of, PublishQueue queue_of)
      : topic(topic_of), stream(stream_of), queue(std::move(queue_of)) {}

  Topic& topic;
  PublishStream& stream;
  PublishQueue queue;  // under the stream's lock, like the flags
  bool binding = false;
  bool ready = false;
  bool paused = false;  // among those that the stream keeps as paused
  // Nothing new comes here before that (steady clock) while there are other queues.
  std::atomic<int64_t> avoid_until{0};
};

struct BoundTopic {
  uint32_t id;
  uint32_t queues;
};

// What the streams of a producer tell it, never under a lock.
class PublishHost {
 public:
  virtual ~PublishHost() = default;
  virtual void OnOutcomes(Outcomes outcomes) = 0;
  // The answer to a binding: what the topic is, or an error.
  virtual void OnTopic(Topic& topic, const absl::StatusOr<BoundTopic>& answer) = 0;
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

  // A lane for a queue of `topic`; it lives as long as the stream. Null: a call has no more
  // bindings.
  Lane* AddLane(Topic& topic, std::string_view name, uint32_t queue);

  // INVALID_ARGUMENT: larger than any request may be.
  absl::Status Append(Lane& lane, const MessageEncoder& message, Producer::Callback* callback);
  // Asks the broker about the lane's topic: OnTopic will tell.
  void Ask(Lane& lane);
  // The topic's name stands for another topic by now, or for none (0): what is bound to an old one
  // is bound anew.
  void Rebind(const Topic& topic, uint32_t topic_id);

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
    Topic* topic;
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
  bool HasPending() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Lane* Find(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Avoid(Lane& lane, SteadyTime now, std::chrono::nanoseconds length)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Connection> connection_;
  const Settings settings_;
  PublishHost& host_;

  Mutex mutex_;
  CondVar ended_;
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
  // The broker has too much to do, and asked for silence until then.
  SteadyTime held_until_ ABSL_GUARDED_BY(mutex_){};
  bool expiry_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
