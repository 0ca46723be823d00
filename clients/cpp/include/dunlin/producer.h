// Producer: sends messages, many per frame, each exactly once.
//
// Messages are written straight into the frame of a queue. A frame leaves at once while few are
// under way on its queue; otherwise it grows until they are answered. What a broken connection left
// unanswered is sent again, and the broker drops what it already had.
//
// A topic may have queues at several brokers. Messages are spread over all that take them; which
// these are is followed as it changes. When a broker is out of reach, what was not sent to it yet
// goes to others, after a quarter of send_timeout also what was sent and not answered: that may be
// stored twice then, if the broker comes back with it. Messages that choose their queue (message
// group, ordering key, queue, priority) stay with their broker, and all that wait for the queue
// with them, until it is back or send_timeout is over.
//
// Order: messages of one thread with one message group or ordering key are stored in the order of
// the calls, as long as the topic has as many queues and the same brokers; others are spread over
// the queues, a frame at a time. New queues are used as soon as they are told of. Thread-safe. The
// destructor is Close().

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/message.h"

namespace dunlin {

// Where a message was stored.
struct Receipt {
  uint32_t topic_id = 0;
  uint32_t queue = 0;
  // -1: it was stored before the connection broke, and the broker does not know where any more.
  int64_t offset = -1;

  // 32 upper-case hexadecimal digits; empty while the offset is not known.
  std::string message_id() const;
};

// A run of messages of one queue with the same outcome.
struct DeliveryReport {
  std::string_view topic;
  // The name of the broker; as long as the producer lives.
  std::string_view broker;
  uint32_t queue = 0;
  uint32_t topic_id = 0;
  uint64_t first_sequence = 0;
  uint32_t count = 0;
  int64_t first_offset = -1;  // the others follow; -1 as in Receipt
  // When the first message of their frame was sent.
  std::chrono::steady_clock::time_point begun;
  absl::Status status;
};

struct ProducerOptions {
  // Connections to each broker; its queues are spread over them. More than one pays on many cores
  // only.
  int streams = 1;
  // A frame is closed at this size, 1 KiB to 1 MiB; a larger message is a frame of its own.
  size_t max_batch_bytes = 256 << 10;
  // Below so many unanswered frames of a queue, the next one leaves at once, however small.
  int frames_in_flight = 2;
  // Messages not answered yet; what comes on top waits (block_when_full) or is refused.
  size_t max_pending_bytes = 64 << 20;
  bool block_when_full = true;
  // A message that is not answered by then fails with DEADLINE_EXCEEDED; it may be stored all the
  // same.
  std::chrono::milliseconds send_timeout{30000};
  // Bodies from this size on are sent compressed (GZIP) if that makes them smaller; 0: never.
  size_t compress_from_bytes = 0;
  // How long the destructor waits for what is under way.
  std::chrono::milliseconds close_timeout{5000};
  // Told of every message, sent by whatever call, a run at a time. Called like a Callback.
  std::function<void(const DeliveryReport&)> on_delivery;
};

namespace internal {
class ProducerCore;
}

class Producer {
 public:
  // Called once, on a thread of the connection: it must not wait. Sending from it is fine and never
  // blocks (RESOURCE_EXHAUSTED instead).
  using Callback = std::function<void(const absl::StatusOr<Receipt>&)>;

  explicit Producer(std::shared_ptr<internal::ProducerCore> core);
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  ~Producer();

  // Waits for the answer. Errors: INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED as the broker
  // refuses the message or its topic; RESOURCE_EXHAUSTED (max_pending_bytes); DEADLINE_EXCEEDED
  // (send_timeout); CANCELLED (closed).
  absl::StatusOr<Receipt> Send(const Message& message);

  // Returns when the message is in its frame; `callback` gets what Send would return. The first
  // message to a topic waits for its route, up to send_timeout; not so in a callback, where it is
  // refused instead.
  // Errors, after which the callback is not called: INVALID_ARGUMENT (no topic, too large),
  // RESOURCE_EXHAUSTED, FAILED_PRECONDITION (closed); of a topic's first message also those of
  // Send.
  absl::Status SendAsync(const Message& message, Callback callback);
  // The same without a callback, and without an allocation: only on_delivery tells.
  absl::Status SendAsync(const Message& message);
  // For messages whose outcome is of no interest.
  absl::Status SendOneway(const Message& message) { return SendAsync(message); }

  // Waits until everything sent so far is answered. DEADLINE_EXCEEDED: not within `timeout`.
  absl::Status Flush(std::chrono::milliseconds timeout);

  // Takes no more, waits for what is under way up to `timeout`, fails the rest with CANCELLED.
  // All callbacks have returned afterwards. Idempotent. Not from a callback.
  absl::Status Close(std::chrono::milliseconds timeout);

  // Bytes not answered yet.
  size_t pending_bytes() const;

 private:
  std::shared_ptr<internal::ProducerCore> core_;
};

}  // namespace dunlin
