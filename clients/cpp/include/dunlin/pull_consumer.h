// PullConsumer: reads queues by offset, in order, as fast as they can be sent.
//
// A topic may have queues at several brokers: a queue is known by its number and the name of its
// broker, which may be left out where only one can be meant. Brokers send ahead up to
// max_buffered_bytes each; Poll hands out one frame after the other without
// copying messages, whose checksums it verifies. After a broken connection reading goes on where it
// was. Thread-safe; the messages of one queue come in order to whoever polls. The destructor
// closes.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/filter.h"
#include "dunlin/message.h"

namespace dunlin {

struct PullConsumerOptions {
  // For committed offsets; empty: there are none.
  std::string group;
  // Frames of one broker that were received and not polled yet, 64 KiB or more. One frame may go
  // beyond it.
  size_t max_buffered_bytes = 8 << 20;
  // How long Assign and Seek wait for the broker.
  std::chrono::milliseconds request_timeout{10000};
  // What a compressed body may grow to; a message with a larger one counts as damaged.
  size_t max_body_bytes = 64 << 20;
  // Messages that retention took before they were read: go on at the oldest one that is held. Else
  // Poll returns OUT_OF_RANGE and the queue is not assigned any more.
  bool skip_expired = true;
  // Far behind the end, read from a slave when the master asks for it and a name service tells of
  // one; back at the master when near the end, and as soon as the slave fails. What is committed
  // goes to the master.
  bool read_from_slaves = true;
};

// Where to begin in a queue.
class StartAt {
 public:
  enum class Kind { kFirst, kLast, kCommitted, kOffset, kTime };

  // The oldest message that is held; only what comes from now on; where the group committed, or the
  // oldest.
  static StartAt First() { return StartAt(Kind::kFirst, 0); }
  static StartAt Last() { return StartAt(Kind::kLast, 0); }
  static StartAt Committed() { return StartAt(Kind::kCommitted, 0); }
  static StartAt Offset(uint64_t offset) {
    return StartAt(Kind::kOffset, static_cast<int64_t>(offset));
  }
  // The first message stored at `time` or later.
  static StartAt Time(Timestamp time) {
    return StartAt(Kind::kTime, time.time_since_epoch().count());
  }

  Kind kind() const { return kind_; }
  int64_t value() const { return value_; }

 private:
  StartAt(Kind kind, int64_t value) : kind_(kind), value_(value) {}
  Kind kind_;
  int64_t value_;
};

struct QueueBounds {
  uint64_t start_offset = 0;  // where reading begins
  uint64_t min_offset = 0;
  uint64_t max_offset = 0;
  uint32_t queues = 0;  // of the topic
};

namespace internal {
class PullCore;
}

class PullConsumer {
 public:
  explicit PullConsumer(std::shared_ptr<internal::PullCore> core);
  PullConsumer(PullConsumer&&) noexcept;
  PullConsumer& operator=(PullConsumer&&) noexcept;
  ~PullConsumer();

  // Adds a queue. Errors: ALREADY_EXISTS (assigned), NOT_FOUND (topic), INVALID_ARGUMENT (queue,
  // filter, no broker named where several hold the topic), OUT_OF_RANGE (offset), UNAVAILABLE or
  // DEADLINE_EXCEEDED (no broker).
  absl::StatusOr<QueueBounds> Assign(std::string_view topic, uint32_t queue, StartAt start,
                                     const Filter& filter = Filter(), std::string_view broker = {});
  // All queues of a topic, at all brokers; how many there are. Queues that it gets later are
  // assigned when the routes tell of them, from their first message on, until the last queue is
  // unassigned or the topic is deleted. Errors as of Assign, after which none is assigned by it.
  absl::StatusOr<uint32_t> AssignAll(std::string_view topic, StartAt start,
                                     const Filter& filter = Filter());
  // Nothing of the queue is polled afterwards. What was committed is still sent, if the broker
  // cannot be reached now then later. NOT_FOUND: it was not assigned.
  absl::Status Unassign(std::string_view topic, uint32_t queue, std::string_view broker = {});
  // Goes on elsewhere; nothing from the old place is polled afterwards. Errors as of Assign, after
  // which the queue is not assigned.
  absl::StatusOr<QueueBounds> Seek(std::string_view topic, uint32_t queue, StartAt start,
                                   std::string_view broker = {});

  // The next messages of some queue; an empty batch when none came within `timeout`. Errors are
  // told once each, and polling goes on behind them: DATA_LOSS (a damaged message, passed over),
  // OUT_OF_RANGE, NOT_FOUND (the topic is gone), FAILED_PRECONDITION (closed). INVALID_ARGUMENT,
  // UNAUTHENTICATED, PERMISSION_DENIED and UNIMPLEMENTED are of the connection; it is made anew.
  absl::StatusOr<MessageBatch> Poll(std::chrono::milliseconds timeout);

  // Everything below it was polled, or passed over by the filter: what may be committed when what
  // was polled is done. Moves in Poll, also when that finds no messages. NOT_FOUND: the queue is
  // not assigned.
  absl::StatusOr<uint64_t> Position(std::string_view topic, uint32_t queue,
                                    std::string_view broker = {}) const;

  // The group consumed everything below `offset`; takes effect soon, at the latest when the
  // consumer is closed. NOT_FOUND: the queue is not assigned; FAILED_PRECONDITION: there is no
  // group; INVALID_ARGUMENT: the queue is not known to reach so far.
  absl::Status Commit(std::string_view topic, uint32_t queue, uint64_t offset,
                      std::string_view broker = {});

  // Sends what was committed, ends the call. Poll returns FAILED_PRECONDITION. Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::PullCore> core_;
};

}  // namespace dunlin
