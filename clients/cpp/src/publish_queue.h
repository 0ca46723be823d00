// PublishQueue: the messages of one queue that are not answered yet, as a sliding window.
//
// Messages are appended to the last batch; batches leave as frames in order; answers take them off
// the front. What was refused for now, or was under way when the connection broke, is sent again
// from the first message that is missing ("go back N"): the broker knows sequences that it has
// stored, so that repeating too much is only waste. Not thread-safe: the stream's lock is around
// it.

#pragma once

#include <grpcpp/support/slice.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/producer.h"

#include "clients/cpp/src/frame_buffer.h"
#include "clients/cpp/src/message_encoder.h"
#include "clients/cpp/src/ticker.h"

namespace dunlin::internal {

// What became of a run of messages: reported to the application without any lock.
struct Outcome {
  DeliveryReport report;
  size_t bytes = 0;  // that are not pending any more
  std::vector<Producer::Callback> callbacks;
};
using Outcomes = std::vector<Outcome>;

// Messages that leave together. Others than PublishQueue only hand it on.
struct PublishBatch {
  std::shared_ptr<FrameBuffer> buffer;  // room for a header, then messages
  uint64_t first = 0;
  uint32_t count = 0;
  bool sealed = false;
  bool full = false;
  bool is_pinned = false;    // one of its messages chose its queue
  bool was_sent = false;     // and may be stored
  size_t frame_begin = 0;    // once it has a header
  size_t sent_bytes = 0;     // while in flight
  size_t dropped_bytes = 0;  // of messages that were answered before it changed its queue
  SteadyTime begun;
  SteadyTime sent;
  std::vector<Producer::Callback> callbacks;  // by position; may be shorter than count

  uint64_t end() const { return first + count; }
};

class PublishQueue {
 public:
  using Batch = PublishBatch;
  struct Limits {
    size_t max_batch_bytes = 0;
    int frames_in_flight = 0;
  };

  // `topic` must outlive the queue, and all outcomes.
  PublishQueue(std::string_view topic, uint32_t queue, uint32_t binding, const Limits& limits,
               std::shared_ptr<BufferPool> pool);

  std::string_view topic() const { return topic_; }
  // As the broker said when it was bound last; 0: it never was.
  uint32_t topic_id() const { return topic_id_; }
  uint32_t queue() const { return queue_; }
  // For reports; must outlive all outcomes.
  void set_broker(std::string_view broker) { broker_ = broker; }
  uint32_t binding() const { return binding_; }

  // Takes a message. `callback` may be null; it is moved from. Whether a batch became full by it.
  bool Append(const MessageEncoder& message, Producer::Callback* callback);
  // A frame may leave now.
  bool CanSend() const {
    if (!bound_ || paused_ || in_flight_ == batches_.size()) return false;
    return in_flight_ < static_cast<size_t>(limits_.frames_in_flight) || batches_[in_flight_]->full;
  }
  // At least the bytes of that frame. REQUIRES: CanSend.
  size_t NextFrameBytes() const { return batches_[in_flight_]->buffer->size(); }
  // The next frame as a PublishRequest. REQUIRES: CanSend.
  grpc::Slice TakeFrame(SteadyTime now);

  // On a new stream: what to say in BindQueue.next_sequence, and the broker's answer to it.
  uint64_t next_sequence() const { return answered_; }
  void OnBound(uint64_t last_sequence, uint32_t topic_id, Outcomes& outcomes);
  // The stream is gone: everything that is not answered is to be sent again.
  void OnUnbound();
  bool bound() const { return bound_; }

  // Messages first .. first + count - 1 are stored.
  void OnAck(uint64_t first, uint32_t count, int64_t offset, Outcomes& outcomes);
  // ... refused for good.
  void OnRefused(uint64_t first, uint32_t count, const absl::Status& status, Outcomes& outcomes);
  // Everything from `first` on is to be sent again, not before `when`.
  void SendAgain(uint64_t first, SteadyTime when);
  // Ends the pause when its time has come.
  void Resume(SteadyTime now) { paused_ = paused_ && paused_until_ > now; }
  bool paused() const { return paused_; }

  // What is appended from now on does not share the age of something begun before that.
  void SealOlderThan(SteadyTime before);
  // Fails everything that is older than `before`, or just everything. Whether it failed anything;
  // the sequences then have a gap, which only a new binding mends.
  bool FailOlderThan(SteadyTime before, const absl::Status& status, Outcomes& outcomes);
  void FailAll(const absl::Status& status, Outcomes& outcomes);

  // Gives away what was never sent, or all of it: to another queue, whose messages have other
  // sequences. What was sent may be stored here as well. REQUIRES: not bound.
  std::vector<std::unique_ptr<Batch>> TakeUnsent();
  std::vector<std::unique_ptr<Batch>> TakeAll();
  // Takes what another queue gave away. Its age stays, and counts when its turn comes.
  void Adopt(std::unique_ptr<Batch> batch);
  // Some of its messages belong to this queue and to no other.
  bool HasPinned() const;

  bool empty() const { return batches_.empty(); }
  // The oldest message; SteadyTime::max() when there is none.
  SteadyTime oldest() const {
    return batches_.empty() ? SteadyTime::max() : batches_.front()->begun;
  }
  // Bytes of frames that are sent and not answered.
  size_t in_flight_bytes() const { return in_flight_bytes_; }
  // The end of a pause ordered by SendAgain; in the past when there is none.
  SteadyTime paused_until() const { return paused_until_; }
  // How long the frame took that was answered last.
  std::chrono::nanoseconds latency() const { return latency_; }
  // Consecutive refusals without an ack in between.
  int refusals_in_a_row() const { return refusals_in_a_row_; }

 private:
  struct Refusal {
    uint64_t end;
    absl::Status status;
  };

  // Where a frame's header ends: tag, length, binding, first sequence.
  static constexpr size_t kHeaderRoom = 32;

  Batch& OpenBatch(size_t bytes, bool& filled);
  void Frame(Batch& batch);
  // The messages of `batch` from `first` on, behind room for a header.
  std::shared_ptr<FrameBuffer> CopyFrom(const Batch& batch, uint64_t first) const;
  grpc::Slice FrameFrom(const Batch& batch, uint64_t first) const;
  // Messages up to `end` are answered: stored from `offset` on (or with `status`), but for
  // refusals.
  void Resolve(uint64_t end, int64_t offset, const absl::Status& status, Outcomes& outcomes);
  void ResolveRefusals(Outcomes& outcomes);
  void Emit(Batch& batch, uint64_t end, int64_t offset, const absl::Status& status,
            Outcomes& outcomes);
  void Rewind(size_t index);

  const std::string_view topic_;
  std::string_view broker_;
  const uint32_t queue_;
  const uint32_t binding_;
  const Limits limits_;
  const std::shared_ptr<BufferPool> pool_;
  uint32_t topic_id_ = 0;
  bool bound_ = false;
  std::vector<std::unique_ptr<Batch>> batches_;  // ascending without a gap
  size_t in_flight_ = 0;                         // so many of them are sent
  size_t in_flight_bytes_ = 0;
  uint64_t sequence_ = 1;   // of the next message appended
  uint64_t answered_ = 1;   // of the first message that is not answered
  uint64_t send_from_ = 1;  // of the first message to be sent
  // By their first message; not answered in turn yet. A whole pipeline may be refused at a time.
  std::map<uint64_t, Refusal> refusals_;
  bool paused_ = false;
  SteadyTime paused_until_{};
  std::chrono::nanoseconds latency_{0};
  int refusals_in_a_row_ = 0;
  size_t last_batch_bytes_ = 0;
};

}  // namespace dunlin::internal
