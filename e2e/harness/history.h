// History: what was sent and what was acknowledged; HistoryCheck: whether what is read back agrees.
//
// The invariants: every acknowledged message is there with equal bytes, at the queue offset its
// acknowledgement named; a producer's messages keep their order within a queue; nothing is there
// that was never sent; offsets are dense and never stand for another message later; nothing is
// there twice (nobody here sends a message again).
//
// Threads: History takes one thread per producer at a time, and tells its counts to any; the check
// runs while nobody sends.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "e2e/harness/payload.h"

namespace dunlin::e2e {

class History {
 public:
  explicit History(uint32_t producers) : producers_(producers) {}

  // The identity of this producer's next message, from now on known as sent.
  Identity Send(uint32_t producer);
  void Acknowledge(Identity identity, int64_t queue_offset);

  uint32_t producers() const { return static_cast<uint32_t>(producers_.size()); }
  uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  uint64_t acknowledged() const { return acknowledged_.load(std::memory_order_relaxed); }

  // Appends the acknowledgements since the last call to `file`, a line each (producer, sequence,
  // offset), and syncs it: the evidence outlives this process.
  absl::Status Persist(const std::string& file);

 private:
  friend class HistoryCheck;
  static constexpr int64_t kUnacknowledged = -1;

  struct Producer {
    std::vector<int64_t> offsets;  // by sequence
    size_t persisted = 0;
  };

  std::vector<Producer> producers_;
  std::atomic<uint64_t> sent_{0};
  std::atomic<uint64_t> acknowledged_{0};
};

class HistoryCheck {
 public:
  enum class Ids {
    kOfSenders,  // MessageIdOf
    kOfBroker,   // senders name none
  };

  // `history` must outlive the check and may grow between calls.
  HistoryCheck(const History& history, uint32_t queues, Ids ids = Ids::kOfSenders)
      : history_(history), ids_(ids), seen_(history.producers()), queues_(queues) {}

  // The next message of a queue, in the order of its offsets. DATA_LOSS names the invariant that
  // does not hold.
  absl::Status Read(uint32_t queue, int64_t queue_offset, const std::string& message_id,
                    const std::string& body);
  // Where reading of `queue` goes on.
  int64_t next_offset(uint32_t queue) const { return queues_[queue].next; }
  uint64_t read() const;

  // How many acknowledged messages have not been read.
  uint64_t Missing() const;
  // DATA_LOSS with the first few of them.
  absl::Status CheckNothingMissing() const;
  // DATA_LOSS unless `later`, a check that began anew, read the same up to where this one was.
  absl::Status CheckAgreesWith(const HistoryCheck& later) const;

 private:
  struct Queue {
    int64_t next = 0;
    std::vector<int64_t> last_sequence;  // by producer, -1: none
    std::vector<Identity> contents;      // by offset
  };

  const History& history_;
  const Ids ids_;
  std::vector<std::vector<bool>> seen_;  // by producer and sequence
  std::vector<Queue> queues_;
};

}  // namespace dunlin::e2e
