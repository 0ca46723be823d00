#include "dunlin/lite_simple_consumer.h"

#include <utility>

#include "clients/cpp/src/lite_core.h"

namespace dunlin {

LiteSimpleConsumer::LiteSimpleConsumer(std::shared_ptr<internal::LiteCore> core)
    : core_(std::move(core)) {}
LiteSimpleConsumer::LiteSimpleConsumer(LiteSimpleConsumer&&) noexcept = default;

LiteSimpleConsumer& LiteSimpleConsumer::operator=(LiteSimpleConsumer&& other) noexcept {
  if (core_ != nullptr) core_->Close();
  core_ = std::move(other.core_);
  return *this;
}

LiteSimpleConsumer::~LiteSimpleConsumer() {
  if (core_ != nullptr) core_->Close();
}

absl::Status LiteSimpleConsumer::Subscribe(std::string_view lite_topic,
                                           std::optional<StartAt> start) {
  return core_->Subscribe(lite_topic, start);
}

absl::Status LiteSimpleConsumer::Unsubscribe(std::string_view lite_topic) {
  return core_->Unsubscribe(lite_topic);
}

std::vector<std::string> LiteSimpleConsumer::subscriptions() const {
  return core_->Subscriptions();
}

absl::StatusOr<std::vector<ReceivedLiteMessage>> LiteSimpleConsumer::Receive(
    size_t max, std::chrono::milliseconds timeout) {
  return core_->Receive(max, timeout);
}

absl::Status LiteSimpleConsumer::Ack(const ReceivedLiteMessage& message) {
  return core_->Ack({&message, 1});
}

absl::Status LiteSimpleConsumer::Ack(std::span<const ReceivedLiteMessage> messages) {
  return core_->Ack(messages);
}

absl::Status LiteSimpleConsumer::Retry(const ReceivedLiteMessage& message,
                                       std::chrono::milliseconds delay) {
  return core_->PutOff(message, delay, /*suspend=*/false);
}

absl::Status LiteSimpleConsumer::Suspend(const ReceivedLiteMessage& message,
                                         std::chrono::milliseconds delay) {
  return core_->PutOff(message, delay, /*suspend=*/true);
}

void LiteSimpleConsumer::Close() { core_->Close(); }

}  // namespace dunlin
