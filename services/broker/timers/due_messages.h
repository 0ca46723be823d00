// DueMessages: gives each delayed message its place in its queue when its time has come.
//
// One thread (`timers`) sleeps until the next one is due, then appends a pointer for each that is,
// in the order of their due times, many in one append. It neither reads nor copies messages. The
// clock decides alone; what is due while the broker is down is delivered at its start.
//
// A crash leaves timers whose pointer is in the log, which have ended, and others, which have not
// (store/index/timer_index.h): none is lost, and none is delivered twice.

#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/index/timer_index.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class DueMessages {
 public:
  // All arguments must outlive the object.
  DueMessages(store::CommitLog& log, store::TimerIndex& timers, const TopicTable& topics,
              const Clock& clock);
  ~DueMessages();

  // Starts the thread, which calls Step; tests call Step instead.
  void Start();
  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Delivers what is due. Errors are those of the log and of the index; what was not delivered is
  // given back, and comes with the next step.
  struct Rest {
    std::chrono::milliseconds idle;  // for so long nothing is due, unless the index wakes earlier
    uint64_t seen = 0;               // for TimerIndex::Wait
  };
  absl::StatusOr<Rest> Step();

  // Messages delivered since the start.
  uint64_t delivered() const { return delivered_.load(std::memory_order_relaxed); }

 private:
  // The largest payload of a pointer.
  static constexpr size_t kPayloadBytes = 64;

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Deliver(std::vector<store::Timer>& timers);
  void AddPointer(const store::Timer& timer, store::QueueTailSlot* tail);
  void AddRecall(const store::Timer& timer);
  void Nap(std::chrono::milliseconds length) ABSL_LOCKS_EXCLUDED(mutex_);

  store::CommitLog& log_;
  store::TimerIndex& timers_;
  const TopicTable& topics_;
  const Clock& clock_;
  std::atomic<uint64_t> delivered_{0};

  // Of the append under way.
  std::vector<std::array<char, kPayloadBytes>> payloads_;
  std::vector<std::string_view> views_;
  std::vector<store::NewRecord> records_;
  std::vector<store::Appended> appended_;

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
