// Bodies of a load, and the ledger that every one of them is checked against.
//
// A body says which run and which message of it it is, and when it was to be sent; the rest follows
// from that, looks random, and does not compress. So a lost, changed, repeated, reordered or
// invented message is noticed, whoever reads it.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace dunlin::load {

using Clock = std::chrono::steady_clock;

inline constexpr size_t kMinBody = 24;

// Fills `body`, of kMinBody bytes or more.
void WriteBody(uint64_t run, uint64_t number, Clock::time_point due, char* body, size_t size);

struct Body {
  uint64_t run = 0;
  uint64_t number = 0;
  Clock::time_point due;  // on the machine that wrote it
};
// DATA_LOSS when a byte is not what it must be.
absl::Status ReadBody(std::string_view bytes, Body& body);

// What became of the messages of a load that not all were stored of. Not thread-safe.
class Outcomes {
 public:
  enum Outcome : uint8_t {
    kNotStored,  // never sent, or refused
    kStored,     // acknowledged
    kUnknown,    // sent, and no answer that tells
  };

  void Set(uint64_t number, Outcome outcome) {
    if (number >= outcomes_.size()) outcomes_.resize(number + 1);
    outcomes_[number] = outcome;
  }
  Outcome Of(uint64_t number) const {
    return number < outcomes_.size() ? outcomes_[number] : kNotStored;
  }
  uint64_t size() const { return outcomes_.size(); }
  uint64_t Count(Outcome outcome) const;

 private:
  std::vector<Outcome> outcomes_;
};

// What was received of one run. Not thread-safe.
class Ledger {
 public:
  // Messages 0 .. `expected` - 1 of `run`. `ordered`: ascending within each queue.
  Ledger(uint64_t run, uint64_t expected, bool ordered);
  // Those that `outcomes`, which must outlive the ledger, says are stored, and perhaps those of
  // which it does not know.
  Ledger(uint64_t run, const Outcomes& outcomes, bool ordered);

  // DATA_LOSS names what is wrong. What is not of this run is passed over: `body.run` tells.
  absl::Status Enter(uint32_t queue, std::string_view bytes, Body& body);
  // Everything that must be there was received.
  bool complete() const { return missing_ == 0; }
  uint64_t received() const { return received_; }
  // DATA_LOSS names the first that is missing.
  absl::Status CheckComplete() const;

 private:
  const uint64_t run_;
  const uint64_t expected_;  // numbers are below it
  const Outcomes* const outcomes_ = nullptr;
  const bool ordered_;
  std::vector<bool> seen_;
  std::vector<int64_t> last_;  // of each queue
  uint64_t received_ = 0;
  uint64_t missing_;
};

}  // namespace dunlin::load
