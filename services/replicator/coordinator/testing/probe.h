// Probe: one member's coordinator in a test, and what it said. Thread-safe.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "services/base/mutex.h"
#include "services/replicator/coordinator/coordinator.h"

namespace dunlin::replicator {

class Probe {
 public:
  explicit Probe(std::unique_ptr<Coordinator> coordinator) : coordinator_(std::move(coordinator)) {
    coordinator_->Start([this](const GroupView& view) {
      MutexLock lock(mutex_);
      views_.push_back(view);
    });
  }
  ~Probe() { coordinator_->Stop(); }

  Coordinator& operator*() { return *coordinator_; }
  Coordinator* operator->() { return coordinator_.get(); }

  std::optional<GroupView> view() {
    MutexLock lock(mutex_);
    return views_.empty() ? std::nullopt : std::optional(views_.back());
  }
  std::vector<GroupView> views() {
    MutexLock lock(mutex_);
    return views_;
  }

  // Where a call's result will be.
  class Outcome {
   public:
    Coordinator::Done Take() {
      return [this](Coordinator::Result result) {
        MutexLock lock(mutex_);
        result_ = std::move(result);
      };
    }
    std::optional<Coordinator::Result> result() {
      MutexLock lock(mutex_);
      return result_;
    }

   private:
    Mutex mutex_;
    std::optional<Coordinator::Result> result_ ABSL_GUARDED_BY(mutex_);
  };

 private:
  Mutex mutex_;
  std::vector<GroupView> views_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Coordinator> coordinator_;
};

inline GroupRecord MakeRecord(uint32_t epoch, const MemberName& master,
                              std::set<MemberName> in_sync) {
  return {.epoch = Epoch(epoch),
          .master = master,
          .in_sync = std::move(in_sync),
          .preferred = "",
          .unclean_epoch = Epoch(0)};
}

}  // namespace dunlin::replicator
