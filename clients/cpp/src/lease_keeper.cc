#include "clients/cpp/src/lease_keeper.h"

#include <algorithm>
#include <span>

namespace dunlin::internal {
namespace {

// What cannot be extended now is looked at so often in a lease.
constexpr int kRetries = 16;

}  // namespace

LeaseKeeper::Work::Work(LeaseKeeper& keeper, const std::vector<ReceivedMessage>& messages)
    : keeper_(keeper), messages_(messages), leased_until_(SteadyTime::max()) {
  for (const ReceivedMessage& message : messages) {
    leased_until_ = std::min(leased_until_, MessageLease(message).leased_until());
  }
  heard_ = steady_clock::now();
  MutexLock lock(keeper.mutex_);
  keeper.works_.insert(this);
  keeper.Schedule(keeper.DueOf(*this));
}

LeaseKeeper::Work::~Work() {
  MutexLock lock(keeper_.mutex_);
  keeper_.works_.erase(this);
}

void LeaseKeeper::Work::Done() {
  MutexLock lock(keeper_.mutex_);
  ++done_;
  heard_ = steady_clock::now();
}

LeaseKeeper::LeaseKeeper(GroupCore& group, Ticker& ticker, std::chrono::milliseconds invisible,
                         std::chrono::milliseconds patience)
    : group_(group), ticker_(ticker), invisible_(invisible), patience_(patience) {}

LeaseKeeper::~LeaseKeeper() { ticker_.Forget(this); }

SteadyTime LeaseKeeper::DueOf(const Work& work) const {
  return work.leased_until_ - invisible_ / 2;
}

void LeaseKeeper::Schedule(SteadyTime due) {
  // Most work is done long before: one wake-up is enough for all that begins meanwhile.
  if (due >= scheduled_) return;
  scheduled_ = due;
  ticker_.WakeAt(due, this);
}

void LeaseKeeper::Tick(SteadyTime now) {
  MutexLock lock(mutex_);
  scheduled_ = SteadyTime::max();
  for (Work* work : works_) {
    if (now >= work->heard_ + patience_) continue;
    SteadyTime next = DueOf(*work);
    if (now >= next) {
      const bool extended =
          group_.ExtendAll(std::span(work->messages_).subspan(work->done_), invisible_);
      if (extended) work->leased_until_ = now + invisible_;
      next = extended ? DueOf(*work) : now + invisible_ / kRetries;
    }
    Schedule(next);
  }
}

}  // namespace dunlin::internal
