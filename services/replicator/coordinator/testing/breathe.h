// Breathe: a test that waits for another process, without a busy loop.

#pragma once

#include <chrono>

#include "services/base/mutex.h"
#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

inline void Breathe(Duration time) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (never.WaitUntil(mutex, deadline)) {
  }
}

}  // namespace dunlin::replicator
