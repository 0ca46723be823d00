#include "services/broker/timers/testing/clock_scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <unordered_map>
#include <vector>

#include "services/base/check.h"
#include "services/base/clock.h"
#include "services/base/status_macros.h"
#include "services/base/strong_int.h"
#include "services/broker/timers/testing/timer_rig.h"
#include "services/store/index/timer.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// Between two looks of the engine.
constexpr milliseconds kTick{90};
constexpr milliseconds kHour = hours(1);
// How far the clock goes between two crashes, and how long the broker is down after one.
constexpr milliseconds kRound = kHour / 20;
constexpr milliseconds kDown{400};
constexpr uint64_t kSegmentBytes = 8u << 20;

class Scenario {
 public:
  Scenario(uint64_t seed, ClockOutcome& outcome)
      : random_(seed), outcome_(outcome), rig_(kSegmentBytes), since_(rig_.store.clock().Now()) {}

  void Store(uint64_t timers);
  // Lets `length` pass, in ticks.
  absl::Status Pass(milliseconds length);
  absl::Status Crash(milliseconds down);
  void Jump();
  absl::Status Finish();

 private:
  // What is known of a message that was stored.
  struct Sent {
    Timestamp due;
    bool delivered = false;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  absl::Status Look();

  std::mt19937_64 random_;
  ClockOutcome& outcome_;
  TimerRig rig_;
  // What the clock said after its last jump: what it leapt over is late from then on.
  Timestamp since_;
  std::unordered_map<uint64_t, Sent> sent_;
  std::vector<milliseconds> late_;
};

void Scenario::Store(uint64_t timers) {
  for (uint64_t i = 0; i < timers; ++i) {
    const Timestamp due =
        rig_.store.clock().Now() + milliseconds(Below(static_cast<uint64_t>(kHour.count())));
    const QueueKey queue{rig_.id, static_cast<uint32_t>(Below(TimerRig::kQueues))};
    sent_[rig_.store.Park(queue, due).key.id.value()] = {.due = due};
  }
  outcome_.stored += timers;
}

absl::Status Scenario::Pass(milliseconds length) {
  for (milliseconds passed{0}; passed < length; passed += kTick) {
    rig_.store.clock().Advance(kTick);
    RETURN_IF_ERROR(Look());
  }
  return absl::OkStatus();
}

absl::Status Scenario::Look() {
  const Timestamp now = rig_.store.clock().Now();
  // A step delivers so many at most: on until there is nothing more at this time.
  for (uint64_t before = outcome_.delivered;; before = outcome_.delivered) {
    rig_.Step();
    for (const store::TimerKey& key : rig_.TakeDelivered()) {
      const auto found = sent_.find(key.id.value());
      if (found == sent_.end() || found->second.due != key.due) {
        return absl::InternalError(fmt::format("message {} was never sent", key.id.value()));
      }
      Sent& message = found->second;
      if (message.delivered) {
        return absl::InternalError(fmt::format("message {} came twice", key.id.value()));
      }
      if (message.due > now) {
        return absl::InternalError(
            fmt::format("message {} came {} ms early", key.id.value(),
                        std::chrono::duration_cast<milliseconds>(message.due - now).count()));
      }
      message.delivered = true;
      ++outcome_.delivered;
      late_.push_back(
          std::chrono::duration_cast<milliseconds>(now - std::max(message.due, since_)));
    }
    if (outcome_.delivered == before) break;
  }
  return absl::OkStatus();
}

absl::Status Scenario::Crash(milliseconds down) {
  // Not all that was stored is indexed, not all that is due is delivered.
  rig_.store.clock().Advance(kTick);
  CHECK(rig_.engine->Step().ok());
  rig_.Crash(/*checkpoint=*/Below(2) == 0);
  rig_.store.clock().Advance(down);
  ++outcome_.crashes;
  return Look();
}

void Scenario::Jump() {
  rig_.store.clock().Advance(outcome_.jumps % 2 == 0 ? kHour : -kHour);
  since_ = rig_.store.clock().Now();
  ++outcome_.jumps;
}

absl::Status Scenario::Finish() {
  // The last may be stored before a jump back.
  for (milliseconds passed{0}; passed < 3 * kHour && outcome_.delivered < outcome_.stored;
       passed += kRound) {
    RETURN_IF_ERROR(Pass(kRound));
  }
  for (const auto& [id, message] : sent_) {
    if (!message.delivered) {
      return absl::InternalError(fmt::format("message {} never came", id));
    }
  }
  if (const uint64_t pending = rig_.store.dispatcher().timers().Pending(); pending != 0) {
    return absl::InternalError(fmt::format("{} messages are counted as pending", pending));
  }
  std::sort(late_.begin(), late_.end());
  outcome_.late_p99 = late_[late_.size() - 1 - late_.size() / 100];
  outcome_.latest = late_.back();
  return absl::OkStatus();
}

}  // namespace

absl::Status DeliverOnAJumpingClock(uint64_t seed, uint64_t timers, uint32_t crashes,
                                    ClockOutcome& outcome,
                                    const std::function<void(const ClockOutcome&)>& progress) {
  Scenario scenario(seed, outcome);
  for (uint32_t round = 0; round < crashes; ++round) {
    const uint64_t until = timers * (round + 1) / crashes;
    scenario.Store(until - outcome.stored);
    RETURN_IF_ERROR(scenario.Pass(kRound));
    // Of a jump, a large part is due at once: the crash comes while it is delivered.
    const bool jump = round % 3 == 1;
    if (jump) scenario.Jump();
    RETURN_IF_ERROR(scenario.Crash(jump ? milliseconds(0) : kDown));
    progress(outcome);
  }
  return scenario.Finish();
}

}  // namespace dunlin::broker
