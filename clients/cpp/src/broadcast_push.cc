#include "clients/cpp/src/broadcast_push.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

namespace dunlin::internal {
namespace {

// What Close may wait for an empty queue.
constexpr std::chrono::milliseconds kPoll{200};

PullConsumerOptions PullOptionsOf(const PushConsumerOptions& options) {
  PullConsumerOptions pull;
  const std::string& name = options.broadcasting->name;
  if (!name.empty()) pull.group = options.group + "-" + name;
  pull.max_buffered_bytes = options.max_buffered_bytes;
  pull.request_timeout = options.request_timeout;
  pull.max_body_bytes = options.max_body_bytes;
  return pull;
}

}  // namespace

BroadcastPush::BroadcastPush(const std::shared_ptr<Connection>& connection,
                             const PushConsumerOptions& options)
    : options_(options), pull_(connection, PullOptionsOf(options)) {}

BroadcastPush::~BroadcastPush() { Close(); }

absl::Status BroadcastPush::Start() {
  const bool named = !options_.broadcasting->name.empty();
  const StartAt start = named ? StartAt::Committed() : options_.broadcasting->start;
  for (const Subscription& subscription : options_.subscriptions) {
    const auto assigned = pull_.AssignAll(subscription.topic, start, subscription.filter);
    if (!assigned.ok()) return assigned.status();
  }
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "dunlin-listener");
  return absl::OkStatus();
}

void BroadcastPush::Report(const absl::Status& status) const {
  if (options_.on_error) options_.on_error(status);
}

void BroadcastPush::Loop() {
  while (!closing_.load()) {
    const absl::StatusOr<MessageBatch> batch = pull_.Poll(kPoll);
    if (batch.ok()) {
      if (!batch->empty()) Consume(*batch);
    } else if (absl::IsFailedPrecondition(batch.status())) {
      return;
    } else {
      Report(batch.status());
      if (pull_.IsTurnedAway()) return;
    }
  }
}

void BroadcastPush::Consume(const MessageBatch& batch) {
  std::vector<ReceivedMessage> messages;
  messages.reserve(batch.size());
  for (const MessageView& message : batch) messages.push_back(batch.Keep(message));
  for (size_t first = 0; first < messages.size() && !closing_.load();) {
    const size_t count =
        options_.batch_listener ? std::min(options_.max_batch, messages.size() - first) : 1;
    const auto some = std::span(messages).subspan(first, count);
    std::vector<ConsumeResult> results(count, ConsumeResult::kAck);
    if (options_.batch_listener) options_.batch_listener(some, results);
    if (options_.listener) results[0] = options_.listener(some[0]);
    for (size_t i = 0; i < count; ++i) {
      if (results[i] == ConsumeResult::kAck) continue;
      Report(
          absl::AbortedError(fmt::format("{} of {} was not consumed: what is broadcast comes once",
                                         some[i].message_id(), some[i].topic())));
    }
    first += count;
    if (options_.broadcasting->name.empty()) continue;
    const uint64_t done = first == messages.size() ? batch.next_offset() : some.back().offset() + 1;
    // Not assigned any more: there is nothing to remember.
    pull_.Commit({batch.topic(), batch.queue(), batch.broker()}, done).IgnoreError();
  }
}

void BroadcastPush::Close() {
  closing_.store(true);
  if (thread_.joinable()) thread_.join();
  pull_.Close();
}

}  // namespace dunlin::internal
