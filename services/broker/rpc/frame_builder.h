// FrameBuilder: collects the records of one frame for one append. Its memory is kept from frame to
// frame, so that a message costs no allocation.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/wire/send_scanner.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class FrameBuilder {
 public:
  // Messages with sequences in a row.
  struct Run {
    uint64_t first_sequence = 0;
    uint64_t count = 0;
    size_t first_record = 0;  // of its messages in records()
    bool parked = false;      // they wait for their due time, and have no offsets yet
  };

  // `producer_id` 0: no PRODUCER records.
  void Begin(const Topic& topic, uint32_t queue, uint64_t producer_id);
  // Ascending by sequence. The bytes of `message` must live until the append. `due`: when it is
  // delivered if it has to wait.
  void Add(uint64_t sequence, const RawMessage& message, std::optional<Timestamp> due);
  // Nothing is added any more: makes the records.
  void End();

  std::span<const store::NewRecord> records() const { return records_; }
  const std::vector<Run>& runs() const { return runs_; }
  // For what the scanner had to make anew.
  OwnedBytes& owned() { return owned_; }

 private:
  struct Item {
    uint32_t first_piece = 0;
    uint32_t pieces = 0;
    uint32_t properties_offset = 0;
    bool gzip = false;
    std::optional<Timestamp> due;
  };
  static constexpr size_t kRunBytes = 32;

  QueueKey queue_;
  store::QueueTailSlot* tail_ = nullptr;
  uint64_t producer_id_ = 0;
  std::vector<Item> items_;
  std::vector<std::string_view> pieces_;
  std::vector<Run> runs_;
  std::vector<std::array<char, kRunBytes>> run_bytes_;
  std::vector<std::string_view> run_payloads_;
  std::vector<store::NewRecord> records_;
  OwnedBytes owned_;
};

}  // namespace dunlin::broker
