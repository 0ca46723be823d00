// History: what the producers sent and what was acknowledged; Reading: one pass over a topic that
// is held against it.
//
// A body names its producer and sequence number and is otherwise random but reproducible, so that
// every message read can be compared with what was sent, byte by byte, without keeping the bodies.
// A producer has one message outstanding at a time and never sends one twice. A message whose call
// failed is in doubt: it may be there, or not.
//
// Different producers may be used from different threads at a time; everything else, and Reading,
// only while nobody sends. An error is ABORTED when the invariant it names is broken.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace dunlin::e2e {

struct Sequence {
  uint32_t producer = 0;
  uint64_t number = 0;
};

// Where a topic keeps a message.
struct Place {
  uint32_t queue = 0;
  uint64_t offset = 0;
  bool operator==(const Place&) const = default;
};

class History {
 public:
  // REQUIRES: `body_size` ≥ 16.
  History(uint64_t seed, uint32_t producers, size_t body_size);

  uint32_t producers() const { return static_cast<uint32_t>(sent_.size()); }
  uint64_t acked() const;

  // The next message of `producer`; in doubt until Acknowledge. Writes its body to `body`.
  Sequence Send(uint32_t producer, std::string& body);
  // The server promised `sequence` at `offset` of some queue.
  void Acknowledge(Sequence sequence, uint64_t offset);

  std::string Body(Sequence sequence) const;

 private:
  friend class Reading;
  struct Sent {
    uint64_t offset = 0;  // promised, when acked
    bool acked = false;
    bool placed = false;  // some reading found it at `queue`, `offset`
    uint32_t queue = 0;
  };

  void FillBody(Sequence sequence, std::string& body) const;

  const uint64_t seed_;
  const size_t body_size_;
  std::vector<std::vector<Sent>> sent_;  // by producer, by number
};

// Holds these against what it is shown: nothing that was never sent, bodies equal byte by byte, no
// message twice, offsets dense from 0, sequence numbers of a producer ascending in a queue,
// acknowledged offsets as promised, and every message where earlier readings found it.
class Reading {
 public:
  explicit Reading(History& history);

  // The offset to go on from.
  uint64_t Next(uint32_t queue);
  absl::Status Observe(Place place, std::string_view body);
  // Messages that were acknowledged, or found by an earlier reading, and not yet by this one.
  uint64_t Missing() const;
  // ABORTED, naming one of them, unless nothing is missing.
  absl::Status CheckComplete() const;
  uint64_t observed() const { return observed_; }

 private:
  struct Queue {
    uint64_t next = 0;
    std::vector<uint64_t> next_number;  // by producer
  };

  Queue& At(uint32_t queue);
  // Calls `missing(sequence)` until it returns false.
  template <typename Missing>
  void ForEachMissing(Missing missing) const;

  History& history_;
  std::vector<Queue> queues_;
  std::vector<std::vector<bool>> seen_;  // by producer, by number
  uint64_t observed_ = 0;
};

}  // namespace dunlin::e2e
