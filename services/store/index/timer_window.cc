#include "services/store/index/timer_window.h"

#include <iterator>

namespace dunlin::store {

void TimerWindow::Add(const Timer& timer) {
  if (timer.key >= bound_) return;
  timers_.erase(timer.key);
  timers_.insert(timer);
  if (!loading_ && timers_.size() > 2 * capacity_) CutToCapacity();
}

void TimerWindow::Erase(TimerKey key) {
  timers_.erase(key);
  if (loading_) erased_while_loading_.insert(key.id);
}

void TimerWindow::TakeDue(Timestamp now, size_t limit, std::vector<Timer>& due) {
  auto end = timers_.begin();
  for (; end != timers_.end() && end->key.due <= now && due.size() < limit; ++end) {
    due.push_back(*end);
  }
  timers_.erase(timers_.begin(), end);
}

std::optional<TimerKey> TimerWindow::Next() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->key;
}

TimerKey TimerWindow::BeginLoad() {
  loading_ = true;
  const TimerKey from = bound_;
  bound_ = kEnd;  // what comes in meanwhile, the reader of the index may miss
  return from;
}

void TimerWindow::FinishLoad(std::span<const Timer> loaded, bool all) {
  loading_ = false;
  for (const Timer& timer : loaded) {
    // What was added meanwhile is newer than what was read.
    if (!erased_while_loading_.contains(timer.key.id)) timers_.insert(timer);
  }
  erased_while_loading_.clear();
  if (!all && !loaded.empty()) SetBound({loaded.back().key.due, loaded.back().key.id + 1});
  if (timers_.size() > 2 * capacity_) CutToCapacity();
}

void TimerWindow::AbortLoad(TimerKey from) {
  loading_ = false;
  erased_while_loading_.clear();
  SetBound(from);
}

void TimerWindow::SetBound(TimerKey bound) {
  bound_ = bound;
  timers_.erase(timers_.lower_bound(bound), timers_.end());
}

void TimerWindow::CutToCapacity() {
  SetBound(std::next(timers_.begin(), static_cast<ptrdiff_t>(capacity_))->key);
}

}  // namespace dunlin::store
