// PushConsumer: a member of a consumer group that hands every message to a listener on threads of
// its own.
//
// A message whose listener says kAck is done, one with kRetry comes again after retry_delay. While
// a listener works, the leases of its messages are extended, up to max_processing_time. What is
// sent ahead is as for SimpleConsumer. Thread-safe. The destructor closes.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/filter.h"
#include "dunlin/group_options.h"
#include "dunlin/message.h"

namespace dunlin {

enum class ConsumeResult { kAck, kRetry };

struct Subscription {
  std::string topic;
  Filter filter = Filter();
};

struct PushConsumerOptions : GroupOptions {
  std::vector<Subscription> subscriptions;
  int threads = 4;
  std::chrono::milliseconds retry_delay{10000};
  // A listener that takes longer sees its messages delivered again, here or elsewhere; for a
  // batch_listener this is the time for a batch.
  std::chrono::milliseconds max_processing_time{std::chrono::hours(1)};
  // One of the two. Called on any of the threads, by several at a time.
  std::function<ConsumeResult(const ReceivedMessage&)> listener;
  // Up to max_batch messages; `results` has as many elements, kAck unless it is changed.
  std::function<void(std::span<const ReceivedMessage> messages, std::span<ConsumeResult> results)>
      batch_listener;
  size_t max_batch = 32;
  // What goes wrong behind the scenes: NOT_FOUND (a topic or the group is gone) and the like.
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
