#include "dunlin/pull_consumer.h"

#include <utility>

#include "clients/cpp/src/pull_core.h"

namespace dunlin {

PullConsumer::PullConsumer(std::shared_ptr<internal::PullCore> core) : core_(std::move(core)) {}
PullConsumer::PullConsumer(PullConsumer&&) noexcept = default;

PullConsumer& PullConsumer::operator=(PullConsumer&& other) noexcept {
  if (core_ != nullptr) core_->Close();
  core_ = std::move(other.core_);
  return *this;
}

PullConsumer::~PullConsumer() {
  if (core_ != nullptr) core_->Close();
}

absl::StatusOr<QueueBounds> PullConsumer::Assign(std::string_view topic, uint32_t queue,
                                                 StartAt start, const Filter& filter,
                                                 std::string_view broker) {
  return core_->Assign({topic, queue, broker}, start, filter);
}

absl::StatusOr<uint32_t> PullConsumer::AssignAll(std::string_view topic, StartAt start,
                                                 const Filter& filter) {
  return core_->AssignAll(topic, start, filter);
}

absl::Status PullConsumer::Unassign(std::string_view topic, uint32_t queue,
                                    std::string_view broker) {
  return core_->Unassign({topic, queue, broker});
}

absl::StatusOr<QueueBounds> PullConsumer::Seek(std::string_view topic, uint32_t queue,
                                               StartAt start, std::string_view broker) {
  return core_->Seek({topic, queue, broker}, start);
}

absl::StatusOr<MessageBatch> PullConsumer::Poll(std::chrono::milliseconds timeout) {
  return core_->Poll(timeout);
}

absl::StatusOr<uint64_t> PullConsumer::Position(std::string_view topic, uint32_t queue,
                                                std::string_view broker) const {
  return core_->Position({topic, queue, broker});
}

absl::Status PullConsumer::Commit(std::string_view topic, uint32_t queue, uint64_t offset,
                                  std::string_view broker) {
  return core_->Commit({topic, queue, broker}, offset);
}

void PullConsumer::Close() { core_->Close(); }

}  // namespace dunlin
