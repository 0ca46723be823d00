#include "dunlin/push_consumer.h"

#include <pthread.h>

#include <utility>

#include "clients/cpp/src/push_core.h"

namespace dunlin {
namespace internal {
namespace {

using dunlin::broker::v1::Verdict;

constexpr std::chrono::milliseconds kPoll{1000};
constexpr std::chrono::milliseconds kNoDelay{0};

}  // namespace

GroupPush::GroupPush(const std::shared_ptr<Connection>& connection,
                     const PushConsumerOptions& options)
    : options_(options),
      group_(connection, options),
      keeper_(group_, *connection->ticker(), options.invisible_duration,
              options.max_processing_time) {}

GroupPush::~GroupPush() { Close(); }

absl::Status GroupPush::Start() {
  for (const Subscription& subscription : options_.subscriptions) {
    absl::Status status = group_.Subscribe(subscription.topic, subscription.filter);
    if (!status.ok()) return status;
  }
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
    pthread_setname_np(threads_.back().native_handle(), "dunlin-listener");
  }
  return absl::OkStatus();
}

void GroupPush::Loop() {
  while (Step()) {
  }
}

bool GroupPush::Step() {
  const auto messages = group_.Take(options_.max_batch, kPoll);
  if (messages.ok()) {
    if (!messages->empty()) Consume(*messages);
    return true;
  }
  if (absl::IsFailedPrecondition(messages.status())) return false;
  if (options_.on_error) options_.on_error(messages.status());
  // What ends the call for good is told once, by one of the threads.
  if (!group_.rejected()) return true;
  group_.Stop();
  return false;
}

void GroupPush::Consume(const std::vector<ReceivedMessage>& messages) {
  std::vector<ConsumeResult> results(messages.size(), ConsumeResult::kAck);
  LeaseKeeper::Work work(keeper_, messages);
  if (options_.batch_listener) options_.batch_listener(messages, results);
  for (size_t i = 0; i < messages.size(); ++i) {
    if (options_.listener) results[i] = options_.listener(messages[i]);
    Verdict::Outcome outcome = Verdict::ACK;
    if (results[i] != ConsumeResult::kAck) {
      outcome = options_.retry_delay.has_value() ? Verdict::RETRY : Verdict::BACKOFF;
    }
    const auto delay = outcome == Verdict::RETRY ? *options_.retry_delay : kNoDelay;
    work.Done();
    group_.Settle(messages[i], outcome, delay).IgnoreError();  // closed: it comes again
  }
}

void GroupPush::Close() {
  group_.Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  group_.Close();
}

}  // namespace internal

PushConsumer::PushConsumer(std::shared_ptr<internal::PushCore> core) : core_(std::move(core)) {}
PushConsumer::PushConsumer(PushConsumer&&) noexcept = default;

PushConsumer& PushConsumer::operator=(PushConsumer&& other) noexcept {
  if (core_ != nullptr) core_->Close();
  core_ = std::move(other.core_);
  return *this;
}

PushConsumer::~PushConsumer() {
  if (core_ != nullptr) core_->Close();
}

void PushConsumer::Close() { core_->Close(); }

}  // namespace dunlin
