// TimerWindow: the timers that are next, in memory; which of them are due. Pure: no clock, no disk.
//
// Complete below its bound: a timer of the index whose key is below it is here, unless it was taken
// out. Timers from the bound on are only in the index, and are loaded when the window is empty. So
// memory is bounded however many are pending. One thread at a time.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"

#include "services/store/index/timer.h"

namespace dunlin::store {

class TimerWindow {
 public:
  // Loads are of `capacity` timers; up to twice as many are kept when more come in.
  explicit TimerWindow(size_t capacity) : capacity_(capacity) {}

  // A timer that is in the index now, or whose contents changed.
  void Add(const Timer& timer);
  // It is not to be given out (any more); no matter whether it is here.
  void Erase(TimerKey key);

  // Moves timers due at `now` or before to `due`, in order, until that holds `limit`.
  void TakeDue(Timestamp now, size_t limit, std::vector<Timer>& due);
  // Of the first one here.
  std::optional<TimerKey> Next() const;

  // Empty, but the index may hold more.
  bool NeedsLoad() const { return timers_.empty() && bound_ != kEnd && !loading_; }
  // Begins a load: the timers of the index from the key returned on, read after this call, go to
  // FinishLoad, in order, as many as `capacity`. Nothing is taken meanwhile; the rest may go on.
  TimerKey BeginLoad();
  // `all`: the index holds no more than `loaded`.
  void FinishLoad(std::span<const Timer> loaded, bool all);
  // The index could not be read: as if the load had not begun.
  void AbortLoad(TimerKey from);

  size_t capacity() const { return capacity_; }
  size_t size() const { return timers_.size(); }

 private:
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Timer& a, const Timer& b) const { return a.key < b.key; }
    bool operator()(const Timer& a, const TimerKey& b) const { return a.key < b; }
    bool operator()(const TimerKey& a, const Timer& b) const { return a < b.key; }
  };
  static constexpr TimerKey kEnd{Timestamp::max(), LogOffset(UINT64_MAX)};

  void SetBound(TimerKey bound);
  void CutToCapacity();

  const size_t capacity_;
  absl::btree_set<Timer, ByKey> timers_;
  TimerKey bound_{Timestamp::min(), LogOffset(0)};
  bool loading_ = false;
  absl::flat_hash_set<LogOffset> erased_while_loading_;
};

}  // namespace dunlin::store
