#include "clients/cpp/src/lite_push.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/unary_call.h"

namespace dunlin {
namespace internal {
namespace {

constexpr size_t kBatch = 32;
constexpr std::chrono::milliseconds kPoll{15000};
constexpr std::chrono::milliseconds kFirstPause{100};

}  // namespace

LitePush::LitePush(std::shared_ptr<Connection> connection, const LitePushConsumerOptions& options)
    : options_(options), core_(std::move(connection), options, /*invisible=*/std::nullopt) {
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
    pthread_setname_np(threads_.back().native_handle(), "dunlin-listener");
  }
}

LitePush::~LitePush() { Close(); }

void LitePush::Close() {
  core_.Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  core_.Close();
}

void LitePush::Loop() {
  for (int failures = 0; !core_.Pause({});) {
    const absl::StatusOr<std::vector<ReceivedLiteMessage>> messages = core_.Receive(kBatch, kPoll);
    if (messages.ok()) {
      failures = 0;
      Consume(*messages);
    } else if (IsRefusal(messages.status())) {
      // It stays like that, and is told once.
      if (!turned_away_.exchange(true)) core_.Report(messages.status());
      core_.Stop();
    } else if (!core_.Pause({})) {
      core_.Report(messages.status());
      core_.Pause(Backoff(failures++, kFirstPause));
    }
  }
}

void LitePush::Consume(std::span<const ReceivedLiteMessage> messages) {
  while (!messages.empty()) {
    const auto end = std::find_if(messages.begin(), messages.end(), [&](const auto& message) {
      return message.lite_topic != messages.front().lite_topic;
    });
    const auto size = static_cast<size_t>(end - messages.begin());
    ConsumeRun(messages.first(size));
    messages = messages.subspan(size);
  }
}

void LitePush::ConsumeRun(std::span<const ReceivedLiteMessage> run) {
  size_t done = 0;
  while (done < run.size() && options_.listener(run[done]) == ConsumeResult::kAck) ++done;
  Insist([&] { return core_.Ack(run.first(done)); });
  if (done == run.size()) return;
  const std::chrono::milliseconds delay = core_.RetryDelay(run[done].attempt);
  Insist([&] { return core_.PutOff(run[done], delay, /*suspend=*/false); });
  // Nobody has seen those behind it: they come with it again, as if they had not come.
  for (const ReceivedLiteMessage& behind : run.subspan(done + 1)) {
    Insist([&] { return core_.PutOff(behind, delay, /*suspend=*/true); });
  }
}

void LitePush::Insist(absl::FunctionRef<absl::Status()> settle) {
  for (int failures = 0;; ++failures) {
    const absl::Status status = settle();
    if (!status.ok()) core_.Report(status);
    if (!MayBeTriedAgain(status) || core_.Pause(Backoff(failures, kFirstPause))) return;
  }
}

}  // namespace internal

LitePushConsumer::LitePushConsumer(std::shared_ptr<internal::LitePush> push)
    : push_(std::move(push)) {}
LitePushConsumer::LitePushConsumer(LitePushConsumer&&) noexcept = default;

LitePushConsumer& LitePushConsumer::operator=(LitePushConsumer&& other) noexcept {
  if (push_ != nullptr) push_->Close();
  push_ = std::move(other.push_);
  return *this;
}

LitePushConsumer::~LitePushConsumer() {
  if (push_ != nullptr) push_->Close();
}

absl::Status LitePushConsumer::Subscribe(std::string_view lite_topic,
                                         std::optional<StartAt> start) {
  return push_->core().Subscribe(lite_topic, start);
}

absl::Status LitePushConsumer::Unsubscribe(std::string_view lite_topic) {
  return push_->core().Unsubscribe(lite_topic);
}

std::vector<std::string> LitePushConsumer::subscriptions() const {
  return push_->core().Subscriptions();
}

void LitePushConsumer::Close() { push_->Close(); }

}  // namespace dunlin
