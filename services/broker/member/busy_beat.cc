#include "services/broker/member/busy_beat.h"

#include <pthread.h>

namespace dunlin::broker {

using std::chrono::steady_clock;

BusyBeat::BusyBeat(store::ControlPage& page, const Options& options)
    : page_(page), options_(options), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "role-beat");
}

BusyBeat::~BusyBeat() {
  {
    MutexLock lock(mutex_);
    done_ = true;
    over_.SignalAll();
  }
  thread_.join();
}

void BusyBeat::Run() {
  const steady_clock::time_point end = steady_clock::now() + options_.limit;
  MutexLock lock(mutex_);
  for (steady_clock::time_point at = steady_clock::now() + options_.interval; at < end;
       at = steady_clock::now() + options_.interval) {
    while (!done_ && steady_clock::now() < at) over_.WaitUntil(mutex_, at);
    if (done_) return;
    page_.Beat();
  }
}

}  // namespace dunlin::broker
