#include "clients/cpp/src/ticker.h"

#include <pthread.h>

#include <algorithm>

namespace dunlin::internal {

Ticker::Ticker() : thread_([this] { Loop(); }) {
  pthread_setname_np(thread_.native_handle(), "dunlin-ticker");
}

Ticker::~Ticker() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.SignalAll();
  thread_.join();
}

void Ticker::WakeAt(SteadyTime when, Ticking* who) {
  {
    MutexLock lock(mutex_);
    entries_.push_back({when, who});
    std::push_heap(entries_.begin(), entries_.end(), Later);
  }
  changed_.SignalAll();
}

void Ticker::Forget(Ticking* who) {
  MutexLock lock(mutex_);
  std::erase_if(entries_, [who](const Entry& entry) { return entry.who == who; });
  std::make_heap(entries_.begin(), entries_.end(), Later);
  while (current_ == who) changed_.Wait(mutex_);
  // A last Tick may have asked for another one.
  std::erase_if(entries_, [who](const Entry& entry) { return entry.who == who; });
  std::make_heap(entries_.begin(), entries_.end(), Later);
}

void Ticker::Loop() {
  mutex_.Lock();
  while (!stopping_) {
    if (entries_.empty()) {
      changed_.Wait(mutex_);
      continue;
    }
    const SteadyTime now = steady_clock::now();
    const Entry next = entries_.front();
    if (next.when > now) {
      changed_.WaitUntil(mutex_, next.when);
      continue;
    }
    std::pop_heap(entries_.begin(), entries_.end(), Later);
    entries_.pop_back();
    current_ = next.who;
    mutex_.Unlock();
    next.who->Tick(now);
    mutex_.Lock();
    current_ = nullptr;
    changed_.SignalAll();
  }
  mutex_.Unlock();
}

}  // namespace dunlin::internal
