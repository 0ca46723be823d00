// LiteSimpleConsumer: asks for the messages of the lightweight topics that it subscribes to, and
// says what became of them (docs/lite.md).
//
// Within a lightweight topic messages come in order, in batches: nothing behind a batch comes
// before all of it is acknowledged or its leases have ended; then it comes again. Subscriptions
// live as long as the consumer, and are told again after the broker was away. Thread-safe. The
// destructor closes.

#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/lite_message.h"
#include "dunlin/lite_options.h"
#include "dunlin/pull_consumer.h"

namespace dunlin {

struct LiteSimpleConsumerOptions : LiteOptions {
  // Length of a lease, within the broker's limits (default 10 s to 12 h).
  std::chrono::milliseconds invisible_duration{60000};
};

namespace internal {
class LiteCore;
}

class LiteSimpleConsumer {
 public:
  explicit LiteSimpleConsumer(std::shared_ptr<internal::LiteCore> core);
  LiteSimpleConsumer(LiteSimpleConsumer&&) noexcept;
  LiteSimpleConsumer& operator=(LiteSimpleConsumer&&) noexcept;
  ~LiteSimpleConsumer();

  // Whether there is such a lightweight topic or not. `start` moves the whole group; without it the
  // group goes on where it was, or with the oldest message. Of an exclusive group: takes it over.
  // Errors: INVALID_ARGUMENT (the name; a topic or group of another kind; start), NOT_FOUND
  // (topic), RESOURCE_EXHAUSTED (too many), UNAVAILABLE, DEADLINE_EXCEEDED, FAILED_PRECONDITION
  // (closed).
  absl::Status Subscribe(std::string_view lite_topic, std::optional<StartAt> start = std::nullopt);
  // What was not subscribed to is no error.
  absl::Status Unsubscribe(std::string_view lite_topic);
  std::vector<std::string> subscriptions() const;

  // Up to `max` messages (the broker sends 32 at most), at once if there are any; none when none
  // came within `timeout`. UNAVAILABLE and RESOURCE_EXHAUSTED are tried again until then. Errors
  // also: NOT_FOUND (topic), INVALID_ARGUMENT (group, invisible_duration), FAILED_PRECONDITION
  // (closed).
  absl::StatusOr<std::vector<ReceivedLiteMessage>> Receive(size_t max,
                                                           std::chrono::milliseconds timeout);

  // All that are acknowledged together make one request. INVALID_ARGUMENT: a lease had ended; that
  // message comes, or came, again. The others are done all the same.
  absl::Status Ack(const ReceivedLiteMessage& message);
  absl::Status Ack(std::span<const ReceivedLiteMessage> messages);
  // It failed: comes again after `delay`, as its next attempt.
  absl::Status Retry(const ReceivedLiteMessage& message, std::chrono::milliseconds delay);
  // Comes again after `delay` without an attempt more.
  absl::Status Suspend(const ReceivedLiteMessage& message, std::chrono::milliseconds delay);

  // Ends receives that wait, and the subscriptions. Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::LiteCore> core_;
};

}  // namespace dunlin
