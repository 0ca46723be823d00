// Encoding, decoding and checking of one record; the byte layout is that of record.h. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/store/log/record.h"

namespace dunlin::store {

// Bytes a record with this payload takes in the log.
uint64_t RecordSpace(uint64_t payload_size);

// Writes the header with its CRC to `to` (kRecordHeaderSize bytes); `header.length` must be set,
// `header.crc` is ignored. `payload_crc` is the CRC-32C of the payload alone.
void EncodeHeader(const RecordHeader& header, uint32_t payload_crc, char* to);

// The same for a record whose payload stands behind `to` already, its CRC not known yet: cheaper
// than summing a small payload apart.
void EncodeHeaderBeforePayload(const RecordHeader& header, char* to);

// What a record must be to be one at its place.
struct Expected {
  LogOffset log_offset;
  // The epoch in force there; not known: the record's own is believed.
  std::optional<Epoch> epoch;
};

// The header of the record at the beginning of `bytes` (which may go on behind it) if everything
// about it is right: length, place, epoch, kind, CRC. DATA_LOSS with what is wrong otherwise.
absl::StatusOr<RecordHeader> CheckRecord(std::string_view bytes, const Expected& expected);

// The same without looking at the CRC: for hopping from record to record.
absl::StatusOr<RecordHeader> CheckHeader(std::string_view bytes, const Expected& expected);

// Cheap test whether a record could begin here: its own offset is right. For searches.
bool MayBeRecord(std::string_view bytes, LogOffset log_offset);

}  // namespace dunlin::store
