#include "services/runtime/executor.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

namespace dunlin {

Executor::Executor(const std::string& name, size_t capacity) : name_(name), capacity_(capacity) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), name_.c_str());
}

Executor::~Executor() { Stop(); }

absl::Status Executor::Run(Task task) {
  MutexLock lock(mutex_);
  if (stopping_) return absl::UnavailableError(fmt::format("{} is stopping", name_));
  if (tasks_.size() >= capacity_) {
    return absl::ResourceExhaustedError(
        fmt::format("{} tasks are waiting for {}; try again later", tasks_.size(), name_));
  }
  tasks_.push_back(std::move(task));
  changed_.Signal();
  return absl::OkStatus();
}

void Executor::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void Executor::Loop() {
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) changed_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace dunlin
