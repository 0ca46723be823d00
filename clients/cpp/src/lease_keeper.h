// LeaseKeeper: extends the leases of messages that listeners work on, when half of a lease is over,
// until the listener is done or has said nothing for too long. Thread-safe.

#pragma once

#include <chrono>
#include <cstddef>
#include <set>
#include <vector>

#include "dunlin/message.h"

#include "clients/cpp/src/group_core.h"
#include "clients/cpp/src/ticker.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class LeaseKeeper final : public Ticking {
 public:
  // Messages that a listener works on, one after the other; while the object lives.
  class Work {
   public:
    // `messages` must outlive the work.
    Work(LeaseKeeper& keeper, const std::vector<ReceivedMessage>& messages);
    ~Work();
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    // One more is about to be settled: it is not extended any more.
    void Done();

   private:
    friend class LeaseKeeper;
    LeaseKeeper& keeper_;
    const std::vector<ReceivedMessage>& messages_;
    // Under the keeper's lock.
    size_t done_ = 0;
    SteadyTime leased_until_;
    SteadyTime heard_;  // when the listener was done with the last one
  };

  // `group` and `ticker` must outlive the keeper, which outlives all work. A lease lasts
  // `invisible`; it is not extended when nothing was done for `patience`.
  LeaseKeeper(GroupCore& group, Ticker& ticker, std::chrono::milliseconds invisible,
              std::chrono::milliseconds patience);
  ~LeaseKeeper() override;

  void Tick(SteadyTime now) override;

 private:
  // When the leases of `work` are to be extended.
  SteadyTime DueOf(const Work& work) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule(SteadyTime due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  GroupCore& group_;
  Ticker& ticker_;
  const std::chrono::milliseconds invisible_;
  const std::chrono::milliseconds patience_;

  Mutex mutex_;  // before the group's
  std::set<Work*> works_ ABSL_GUARDED_BY(mutex_);
  SteadyTime scheduled_ ABSL_GUARDED_BY(mutex_) = SteadyTime::max();
};

}  // namespace dunlin::internal
