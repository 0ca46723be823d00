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

// What was received of one run. Not thread-safe.
class Ledger {
 public:
  // Messages 0 .. `expected` - 1 of `run`. `ordered`: ascending within each queue.
  Ledger(uint64_t run, uint64_t expected, bool ordered);

  // DATA_LOSS names what is wrong. What is not of this run is passed over: `body.run` tells.
  absl::Status Enter(uint32_t queue, std::string_view bytes, Body& body);
  bool complete() const { return received_ == expected_; }
  uint64_t received() const { return received_; }
  // DATA_LOSS names the first that is missing.
  absl::Status CheckComplete() const;

 private:
  const uint64_t run_;
  const uint64_t expected_;
  const bool ordered_;
  std::vector<bool> seen_;
  std::vector<int64_t> last_;  // of each queue
  uint64_t received_ = 0;
};

}  // namespace dunlin::load
