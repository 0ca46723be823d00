// PushConsumer: a member of a consumer group that hands every message to a listener on threads of
// its own.
//
// A message whose listener says kAck is done, one with kRetry comes again after the delay that the
// retry policy of its group has for the attempt, or after retry_delay. While a listener works, the
// leases of its messages are extended, up to max_processing_time. What is sent ahead is as for
// SimpleConsumer. Thread-safe. The destructor closes.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/filter.h"
#include "dunlin/group_options.h"
#include "dunlin/message.h"
#include "dunlin/pull_consumer.h"

namespace dunlin {

enum class ConsumeResult { kAck, kRetry };

struct Subscription {
  std::string topic;
  Filter filter = Filter();
};

// Every consumer gets every message, those of a queue in their order, on one thread. There are no
// leases and no retries: a message with kRetry is passed over and told to on_error. Of GroupOptions
// the leases are of no use then, nor are the threads, retry_delay and max_processing_time.
struct Broadcasting {
  // Tells this consumer from the others of the group, also the next time it runs: it goes on where
  // it was, or with the oldest message. The broker keeps that for a group GROUP-NAME. Without a
  // name nothing is kept.
  std::string name;
  // Without a name: where to begin.
  StartAt start = StartAt::Last();
};

struct PushConsumerOptions : GroupOptions {
  std::vector<Subscription> subscriptions;
  // Each message to every consumer instead of to one of the group.
  std::optional<Broadcasting> broadcasting;
  int threads = 4;
  // Instead of what the retry policy of the group says, which the broker knows.
  std::optional<std::chrono::milliseconds> retry_delay;
  // A listener that takes longer sees its messages delivered again, here or elsewhere; for a
  // batch_listener this is the time for a batch.
  std::chrono::milliseconds max_processing_time{std::chrono::hours(1)};
  // One of the two. Called on any of the threads, by several at a time.
  std::function<ConsumeResult(const ReceivedMessage&)> listener;
  // Up to max_batch messages; `results` has as many elements, kAck unless it is changed.
  std::function<void(std::span<const ReceivedMessage> messages, std::span<ConsumeResult> results)>
      batch_listener;
  size_t max_batch = 32;
  // What goes wrong behind the scenes: NOT_FOUND (a topic or the group is gone) and the like. After
  // UNAUTHENTICATED, and PERMISSION_DENIED for all of it, nothing more comes: make it anew.
  std::function<void(const absl::Status&)> on_error;
};

namespace internal {
class PushCore;
}

class PushConsumer {
 public:
  explicit PushConsumer(std::shared_ptr<internal::PushCore> core);
  PushConsumer(PushConsumer&&) noexcept;
  PushConsumer& operator=(PushConsumer&&) noexcept;
  ~PushConsumer();

  // Waits for the listeners that are running, settles their messages, gives back what is buffered.
  // Not from a listener. Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::PushCore> core_;
};

}  // namespace dunlin
