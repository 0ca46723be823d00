#include "dunlin/requester.h"

#include <utility>

#include "clients/cpp/src/requester_core.h"
#include "services/base/mutex.h"

namespace dunlin {

Requester::Requester(std::shared_ptr<internal::RequesterCore> core) : core_(std::move(core)) {}
Requester::Requester(Requester&&) noexcept = default;

Requester& Requester::operator=(Requester&& other) noexcept {
  Close();
  core_ = std::move(other.core_);
  return *this;
}

Requester::~Requester() { Close(); }

absl::StatusOr<ReceivedMessage> Requester::Request(const Message& request,
                                                   std::chrono::milliseconds timeout) {
  struct Reply {
    Mutex mutex;
    CondVar came;
    bool is_there ABSL_GUARDED_BY(mutex) = false;
    absl::StatusOr<ReceivedMessage> message ABSL_GUARDED_BY(mutex);
  };
  auto reply = std::make_shared<Reply>();
  const absl::Status asked = core_->RequestAsync(
      request, timeout, [reply](const absl::StatusOr<ReceivedMessage>& message) {
        MutexLock lock(reply->mutex);
        reply->message = message;
        reply->is_there = true;
        reply->came.Signal();
      });
  if (!asked.ok()) return asked;
  MutexLock lock(reply->mutex);
  while (!reply->is_there) reply->came.Wait(reply->mutex);
  return std::move(reply->message);
}

absl::Status Requester::RequestAsync(const Message& request, std::chrono::milliseconds timeout,
                                     Callback callback) {
  return core_->RequestAsync(request, timeout, std::move(callback));
}

void Requester::Close() {
  if (core_ != nullptr) core_->Close();
}

}  // namespace dunlin
