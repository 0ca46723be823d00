// ProducerRow: the last PRODUCER record of a producer in a queue, as a row of the view.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"

namespace dunlin::store {

struct ProducerRow {
  LogOffset log_offset;  // of the record
  uint64_t first_sequence = 0;
  uint32_t count = 0;
};

// {log offset u64, first sequence u64, count u32}, little-endian: begins with the log offset, as
// compaction expects.
std::string EncodeProducerRow(const ProducerRow& row);
absl::StatusOr<ProducerRow> DecodeProducerRow(std::string_view bytes);

}  // namespace dunlin::store
