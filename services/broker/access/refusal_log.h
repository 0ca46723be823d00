// RefusalLog: lines about calls that were turned away, so that somebody who guesses can be found.
// One a second for each reason at most, with the number of those that were left out. Thread-safe;
// nothing waits.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "services/broker/access/address.h"

namespace dunlin::broker {

class RefusalLog {
 public:
  // Of the program, for one reason: below kReasons.
  static constexpr size_t kReasons = 5;
  static RefusalLog& Get(size_t reason);

  // `user`: as the caller calls itself, checked or not.
  void Add(std::string_view reason, std::string_view user, const IpAddress& from,
           std::string_view what);

 private:
  std::atomic<int64_t> next_ns_{0};  // on the steady clock
  std::atomic<uint64_t> left_out_{0};
};

}  // namespace dunlin::broker
