#include "dunlin/simple_consumer.h"

#include <utility>

#include "clients/cpp/src/group_core.h"

namespace dunlin {

using dunlin::broker::v1::Verdict;

SimpleConsumer::SimpleConsumer(std::shared_ptr<internal::GroupCore> core)
    : core_(std::move(core)) {}
SimpleConsumer::SimpleConsumer(SimpleConsumer&&) noexcept = default;

SimpleConsumer& SimpleConsumer::operator=(SimpleConsumer&& other) noexcept {
  if (core_ != nullptr) core_->Close();
  core_ = std::move(other.core_);
  return *this;
}

SimpleConsumer::~SimpleConsumer() {
  if (core_ != nullptr) core_->Close();
}

absl::Status SimpleConsumer::Subscribe(std::string_view topic, const Filter& filter) {
  return core_->Subscribe(topic, filter);
}

absl::Status SimpleConsumer::Unsubscribe(std::string_view topic) {
  return core_->Unsubscribe(topic);
}

absl::StatusOr<std::vector<ReceivedMessage>> SimpleConsumer::Receive(
    size_t max, std::chrono::milliseconds timeout) {
  return core_->Take(max, timeout);
}

absl::Status SimpleConsumer::Ack(const ReceivedMessage& message) {
  return core_->Settle(message, Verdict::ACK, {});
}

absl::Status SimpleConsumer::Retry(const ReceivedMessage& message,
                                   std::chrono::milliseconds delay) {
  return core_->Settle(message, Verdict::RETRY, delay);
}

absl::Status SimpleConsumer::Release(const ReceivedMessage& message,
                                     std::chrono::milliseconds delay) {
  return core_->Settle(message, Verdict::RELEASE, delay);
}

absl::Status SimpleConsumer::Extend(const ReceivedMessage& message,
                                    std::chrono::milliseconds duration) {
  return core_->Extend(message, duration);
}

uint64_t SimpleConsumer::late_settlements() const { return core_->late_settlements(); }

void SimpleConsumer::Close() { core_->Close(); }

}  // namespace dunlin
