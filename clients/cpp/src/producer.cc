#include "dunlin/producer.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "clients/cpp/src/producer_core.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

// Waits for one callback.
class Answer {
 public:
  void Set(const absl::StatusOr<Receipt>& receipt) {
    MutexLock lock(mutex_);
    receipt_ = receipt;
    set_.Signal();
  }

  absl::StatusOr<Receipt> Wait() {
    MutexLock lock(mutex_);
    while (!receipt_.has_value()) set_.Wait(mutex_);
    return *std::move(receipt_);
  }

 private:
  Mutex mutex_;
  CondVar set_;
  std::optional<absl::StatusOr<Receipt>> receipt_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::string Receipt::message_id() const {
  if (offset < 0) return {};
  return fmt::format("{:08X}{:08X}{:016X}", topic_id, queue, offset);
}

Producer::Producer(std::shared_ptr<internal::ProducerCore> core) : core_(std::move(core)) {}
Producer::Producer(Producer&&) noexcept = default;

Producer& Producer::operator=(Producer&& other) noexcept {
  if (core_ != nullptr) core_->Close(core_->options().close_timeout).IgnoreError();
  core_ = std::move(other.core_);
  return *this;
}

Producer::~Producer() {
  if (core_ != nullptr) core_->Close(core_->options().close_timeout).IgnoreError();
}

absl::StatusOr<Receipt> Producer::Send(const Message& message) {
  // Shared: Set may still be unlocking when Wait returns.
  const auto answer = std::make_shared<Answer>();
  absl::Status status = SendAsync(
      message, [answer](const absl::StatusOr<Receipt>& receipt) { answer->Set(receipt); });
  if (!status.ok()) return status;
  return answer->Wait();
}

absl::Status Producer::SendAsync(const Message& message, Callback callback) {
  return core_->Submit(message, &callback);
}

absl::Status Producer::SendAsync(const Message& message) { return core_->Submit(message, nullptr); }

absl::Status Producer::Flush(std::chrono::milliseconds timeout) { return core_->Flush(timeout); }

absl::Status Producer::Close(std::chrono::milliseconds timeout) { return core_->Close(timeout); }

size_t Producer::pending_bytes() const { return core_->pending_bytes(); }

}  // namespace dunlin
