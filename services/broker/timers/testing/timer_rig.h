// TimerRig: a store with one topic, and the engine of delayed messages on it, which tests step on a
// clock that stands.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "services/base/strong_int.h"
#include "services/broker/timers/due_messages.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/timer.h"

namespace dunlin::broker {

class TimerRig {
 public:
  static constexpr uint32_t kQueues = 4;

  TimerRig() : TimerRig(64u << 10) {}
  explicit TimerRig(uint64_t segment_size_bytes);
  ~TimerRig();
  TimerRig(const TimerRig&) = delete;
  TimerRig& operator=(const TimerRig&) = delete;

  // What a kill leaves, opened again.
  void Crash(bool checkpoint);

  // Delivers what is due; everything in the log is in the view afterwards.
  void Step();

  // What came to the queues since the last look. Each pointer to a message is at most 128 bytes.
  std::vector<store::TimerKey> TakeDelivered();

  store::StoreRig store;
  std::unique_ptr<TopicTable> topics;
  std::unique_ptr<DueMessages> engine;
  TopicId id;

 private:
  void Load();
  void Unload();
  store::TimerKey KeyOf(LogOffset pointer);

  std::array<QueueOffset, kQueues> seen_{};
};

}  // namespace dunlin::broker
