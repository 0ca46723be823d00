#include "services/replicator/coordinator/grpc_loop.h"

#include <pthread.h>

#include <chrono>
#include <memory>
#include <utility>

namespace dunlin::replicator {

class GrpcLoop::Wake final : public Event {
 public:
  explicit Wake(GrpcLoop& loop) : loop_(loop) {}
  void Set() { alarm_.Set(loop_.queue(), Deadline(Duration(0)), this); }
  void Proceed(bool) override {
    GrpcLoop& loop = loop_;
    delete this;
    loop.RunPosted();
  }

 private:
  GrpcLoop& loop_;
  grpc::Alarm alarm_;
};

class GrpcLoop::Timer final : public Event {
 public:
  Timer(GrpcLoop& loop, Task task) : loop_(loop), task_(std::move(task)) {
    loop_.timers_.insert(this);
  }
  ~Timer() override { loop_.timers_.erase(this); }
  void Set(Duration delay) { alarm_.Set(loop_.queue(), Deadline(delay), this); }
  void Cancel() { alarm_.Cancel(); }
  void Proceed(bool ok) override {
    const std::unique_ptr<Timer> self(this);
    if (ok && !loop_.stopping()) task_();
  }

 private:
  GrpcLoop& loop_;
  Task task_;
  grpc::Alarm alarm_;
};

gpr_timespec GrpcLoop::Deadline(Duration from_now) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(from_now.count(), GPR_TIMESPAN));
}

GrpcLoop::GrpcLoop(const std::string& name) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

GrpcLoop::~GrpcLoop() {
  Stop([] {});
}

void GrpcLoop::Post(Task task) {
  MutexLock lock(mutex_);
  if (closed_) return;
  posted_.push_back(std::move(task));
  if (shut_ || std::exchange(woken_, true)) return;
  (new Wake(*this))->Set();
}

void GrpcLoop::RunPosted() {
  std::deque<Task> tasks;
  {
    MutexLock lock(mutex_);
    woken_ = false;
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void GrpcLoop::After(Duration delay, Task task) {
  if (stopping_) return;
  (new Timer(*this, std::move(task)))->Set(delay);
}

void GrpcLoop::Stop(Task last) {
  Post([this, last = std::move(last)]() mutable {
    stopping_ = true;
    last();
    for (Timer* timer : timers_) timer->Cancel();
    Shutdown();
  });
  if (thread_.joinable()) thread_.join();
}

void GrpcLoop::Shutdown() {
  MutexLock lock(mutex_);
  shut_ = true;
  queue_.Shutdown();
}

bool GrpcLoop::RunLate() {
  {
    MutexLock lock(mutex_);
    closed_ = posted_.empty();
    if (closed_) return false;
  }
  RunPosted();
  return true;
}

void GrpcLoop::Loop() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) static_cast<Event*>(tag)->Proceed(ok);
  // Whoever waits for an answer gets one.
  while (RunLate()) {
  }
}

}  // namespace dunlin::replicator
