// SdkSenders: producers of the C++ SDK that send one message after the other, as an application
// does that knows nothing but the access point of the cluster.
//
// Threads: made, started and stopped by one; each producer of the history has a thread of its own.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/producer.h"

#include "e2e/harness/history.h"
#include "services/base/mutex.h"

namespace dunlin::e2e {

class SdkSenders {
 public:
  // `history` outlives this; all of its producers send. DUNLIN_ACCESS_KEY and DUNLIN_SECRET_KEY of
  // the environment sign. Whoever is not reached at once is tried again.
  SdkSenders(std::string endpoint, std::string topic, History& history);
  ~SdkSenders();
  SdkSenders(const SdkSenders&) = delete;
  SdkSenders& operator=(const SdkSenders&) = delete;

  // INVALID_ARGUMENT: the endpoint makes no sense.
  absl::Status Start();
  // Lets the sends under way end.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Those that the history has no offset of, too: a broker that was reached again knows that it has
  // the message, and not where.
  uint64_t acknowledged() const { return acknowledged_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  std::string FirstRefusal() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Send(uint32_t number, Producer producer) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns false when it has come to an end.
  bool Pause() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string endpoint_;
  const std::string topic_;
  History& history_;
  std::atomic<uint64_t> acknowledged_{0};
  std::atomic<uint64_t> refused_{0};
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string refusal_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::e2e
