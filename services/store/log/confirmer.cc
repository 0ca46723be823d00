#include "services/store/log/confirmer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"

#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::store {
namespace {

// The bell ends every wait; this one is for nothing but a page that was overwritten from outside.
constexpr std::chrono::seconds kNap{1};

}  // namespace

Confirmer::Confirmer(Options options, ControlPage& page, Watermark& confirmed)
    : options_(std::move(options)), page_(page), confirmed_(confirmed) {
  {
    MutexLock lock(mutex_);
    durable_ = options_.end;
  }
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "confirmer");
}

void Confirmer::End(absl::Status why) {
  if (!over_.ok()) return;
  over_ = std::move(why);
  is_over_.store(true, std::memory_order_release);
  if (waiting_.empty()) return;
  log::Warning("{} batches are not confirmed: {}", waiting_.size(), FromAbsl(over_.message()));
}

LogOffset Confirmer::ConfirmedNow() {
  const LogOffset replicated = page_.replicated();
  const Wanted wanted = page_.wanted();
  if (wanted.role != Role::kMaster || wanted.epoch != options_.epoch) {
    End(absl::UnavailableError(
        fmt::format("this broker is no longer the master of epoch {}; whether what was under way "
                    "is in the log is not known: send it again",
                    options_.epoch.value())));
    return LogOffset(0);
  }
  const std::chrono::nanoseconds lease = page_.lease_until();
  if (lease != ControlPage::kNoLease && options_.boot_time() >= lease) return LogOffset(0);
  return std::min(durable_, replicated);
}

void Confirmer::OnDurable(LogOffset end, CommitWaiter* waiters) {
  {
    MutexLock lock(mutex_);
    durable_ = std::max(durable_, end);
    if (waiters != nullptr) waiting_.push_back({durable_, waiters});
  }
  Look();
}

void Confirmer::Look() {
  {
    MutexLock lock(mutex_);
    look_again_ = true;
    if (telling_) return;
    telling_ = true;
  }
  absl::InlinedVector<Waiting, 8> ready;
  for (;;) {
    absl::Status status;
    {
      MutexLock lock(mutex_);
      if (!look_again_) {
        telling_ = false;
        return;
      }
      look_again_ = false;
      const LogOffset confirmed = over_.ok() ? ConfirmedNow() : LogOffset(0);
      status = over_;
      if (confirmed > confirmed_.Get()) {
        page_.SetShown(confirmed, page_.cuts());  // first; the log is not cut while it is open here
        confirmed_.Advance(confirmed);
      }
      ready.clear();
      while (!waiting_.empty() && (!status.ok() || waiting_.front().end <= confirmed)) {
        ready.push_back(waiting_.front());
        waiting_.pop_front();
      }
    }
    for (const Waiting& batch : ready) {
      for (CommitWaiter* waiter = batch.waiters; waiter != nullptr;) {
        // It may be gone as soon as it has been told.
        CommitWaiter* const next = waiter->next_;
        waiter->OnCommitted(status);
        waiter = next;
      }
    }
  }
}

void Confirmer::Loop() {
  for (;;) {
    const uint32_t looked = page_.for_broker().Look();
    {
      MutexLock lock(mutex_);
      if (closing_) return;
    }
    Look();
    page_.for_broker().Wait(looked, kNap);
  }
}

absl::Status Confirmer::health() const {
  MutexLock lock(mutex_);
  return over_;
}

void Confirmer::Close() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    End(absl::UnavailableError(
        "the log was closed before enough replicas had what was under way; whether it is kept is "
        "not known: send it again"));
  }
  page_.for_broker().Ring();
  thread_.join();
  Look();
}

}  // namespace dunlin::store
