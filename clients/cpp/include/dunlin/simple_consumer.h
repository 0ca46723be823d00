// SimpleConsumer: a member of a consumer group that asks for messages and says what became of them.
//
// The broker sends ahead up to max_unsettled messages and max_buffered_bytes. Every message has a
// lease: acknowledged before it ends, it is done; else it comes again, to any member. Messages with
// a wrong checksum are not handed out; they come again. Thread-safe. The destructor closes.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/filter.h"
#include "dunlin/group_options.h"
#include "dunlin/message.h"

namespace dunlin {

struct SimpleConsumerOptions : GroupOptions {};

namespace internal {
class GroupCore;
}

class SimpleConsumer {
 public:
  explicit SimpleConsumer(std::shared_ptr<internal::GroupCore> core);
  SimpleConsumer(SimpleConsumer&&) noexcept;
  SimpleConsumer& operator=(SimpleConsumer&&) noexcept;
  ~SimpleConsumer();

  // Adds a topic. Errors: ALREADY_EXISTS, NOT_FOUND (topic), INVALID_ARGUMENT (filter, group,
  // invisible_duration), PERMISSION_DENIED, DEADLINE_EXCEEDED (no broker), FAILED_PRECONDITION
  // (other consumers of the group have another filter: try again when they have ended).
  absl::Status Subscribe(std::string_view topic, const Filter& filter = Filter());
  // NOT_FOUND: it was not subscribed to.
  absl::Status Unsubscribe(std::string_view topic);

  // Up to `max` messages, at once if there are any; none when none came within `timeout`. Errors
  // are told once each: NOT_FOUND (a topic or the group is gone), FAILED_PRECONDITION (closed).
  absl::StatusOr<std::vector<ReceivedMessage>> Receive(size_t max,
                                                       std::chrono::milliseconds timeout);

  // The message is done. Takes effect soon, at the latest when the consumer is closed; if that is
  // too late for its lease, or the connection breaks before, the message comes again.
  absl::Status Ack(const ReceivedMessage& message);
  // It failed: comes again after `delay`, as its next attempt.
  absl::Status Retry(const ReceivedMessage& message, std::chrono::milliseconds delay);
  // Gives it back unconsumed: comes again after `delay` without counting as an attempt.
  absl::Status Release(const ReceivedMessage& message, std::chrono::milliseconds delay);
  // Its lease ends `duration` from now. Waits for the answer. FAILED_PRECONDITION: it had ended,
  // somebody else may have the message.
  absl::Status Extend(const ReceivedMessage& message, std::chrono::milliseconds duration);

  // Messages that were settled after their lease had ended: they come, or came, again.
  uint64_t late_settlements() const;

  // Gives back what is buffered, sends what was settled, ends the call. Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::GroupCore> core_;
};

}  // namespace dunlin
