// ColdReads: which readers in offset mode are so far behind that the disk serves them and not
// memory, and how much is read.
//
// The master tells them that a slave would rather do it; a slave, that they are to stay: until they
// are well within the limit, so that nobody goes to and fro at it. Thread-safe.

#pragma once

#include <atomic>
#include <cstdint>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

class ColdReads {
 public:
  enum class Role {
    kAlone,  // there is nobody else to read from
    kMaster,
    kSlave,
  };

  ColdReads(const config::v1::BrokerConfig& config, Role role);

  // Who reads at `at` while the log ends at `end`.
  bool IsCold(LogOffset at, LogOffset end) const {
    return limit_ > 0 && at < end && end - at > limit_;
  }

  // A reader that was not cold before was told so.
  void CountReader() { readers_.fetch_add(1, std::memory_order_relaxed); }
  void CountMessages(uint64_t messages) {
    messages_.fetch_add(messages, std::memory_order_relaxed);
  }
  uint64_t readers() const { return readers_.load(std::memory_order_relaxed); }
  uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }

 private:
  const uint64_t limit_;  // bytes; 0: nobody is cold
  std::atomic<uint64_t> readers_ = 0;
  std::atomic<uint64_t> messages_ = 0;
};

}  // namespace dunlin::broker
