#include "operator/k8s/work_queue.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace dunlin::k8s {

WorkQueue::WorkQueue(const Clock& clock, Backoff backoff) : clock_(clock), backoff_(backoff) {}

void WorkQueue::Add(const ObjectKey& key) {
  MutexLock lock(mutex_);
  ++adds_;
  AddReady(key);
}

void WorkQueue::AddAfter(const ObjectKey& key, std::chrono::milliseconds delay) {
  MutexLock lock(mutex_);
  ++adds_;
  AddLater(key, delay);
}

void WorkQueue::AddFailed(const ObjectKey& key) {
  MutexLock lock(mutex_);
  ++adds_;
  ++retries_;
  AddLater(key, backoff_.DelayAfter(++failures_[key], 0));
}

void WorkQueue::Forget(const ObjectKey& key) {
  MutexLock lock(mutex_);
  failures_.erase(key);
}

std::optional<ObjectKey> WorkQueue::TryTake() {
  MutexLock lock(mutex_);
  return stopping_ ? std::nullopt : Next();
}

std::optional<ObjectKey> WorkQueue::Take() {
  MutexLock lock(mutex_);
  for (;;) {
    if (stopping_) return std::nullopt;
    if (std::optional<ObjectKey> key = Next()) return key;
    if (by_time_.empty()) {
      changed_.Wait(mutex_);
    } else {
      const auto wait = by_time_.begin()->first - clock_.Now();
      changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + wait);
    }
  }
}

void WorkQueue::Done(const ObjectKey& key) {
  MutexLock lock(mutex_);
  CHECK(taken_.erase(key) == 1, key.ToString());
  if (!dirty_.contains(key)) return;
  ready_.push_back({key, clock_.Now()});
  changed_.Signal();
}

void WorkQueue::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.SignalAll();
}

WorkQueue::Stats WorkQueue::CurrentStats() const {
  MutexLock lock(mutex_);
  return {.depth = ready_.size(),
          .delayed = due_.size(),
          .adds = adds_,
          .retries = retries_,
          .taken = takes_,
          .waited = waited_};
}

void WorkQueue::AddReady(const ObjectKey& key) {
  if (const auto due = due_.find(key); due != due_.end()) {
    by_time_.erase({due->second, key});
    due_.erase(due);
  }
  if (!dirty_.insert(key).second || taken_.contains(key)) return;
  ready_.push_back({key, clock_.Now()});
  changed_.Signal();
}

void WorkQueue::AddLater(const ObjectKey& key, std::chrono::milliseconds delay) {
  if (delay.count() <= 0) return AddReady(key);
  if (dirty_.contains(key)) return;  // it comes sooner
  const Timestamp time = clock_.Now() + delay;
  if (const auto due = due_.find(key); due != due_.end()) {
    if (due->second <= time) return;
    by_time_.erase({due->second, key});
  }
  due_[key] = time;
  by_time_.insert({time, key});
  changed_.Signal();
}

std::optional<ObjectKey> WorkQueue::Next() {
  const Timestamp now = clock_.Now();
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const ObjectKey key = by_time_.begin()->second;  // AddReady takes it out of both
    AddReady(key);
  }
  if (ready_.empty()) return std::nullopt;
  ++takes_;
  waited_ += now - ready_.front().since;
  ObjectKey key = std::move(ready_.front().key);
  ready_.pop_front();
  dirty_.erase(key);
  taken_.insert(key);
  return key;
}

}  // namespace dunlin::k8s
