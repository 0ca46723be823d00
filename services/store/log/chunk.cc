#include "services/store/log/chunk.h"

#include <fmt/format.h>

#include <string_view>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"
#include "services/store/log/record.h"
#include "services/store/log/record_codec.h"

namespace dunlin::store {
namespace {

// A segment of any size that CommitLog makes, and not one that nobody has the disk for.
constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kMinSegmentSize = 64u << 10;
constexpr uint64_t kMaxSegmentSize = uint64_t{1} << 40;

absl::Status CheckShape(const LogMirror::Chunk& chunk) {
  if (chunk.bytes.empty() || chunk.bytes.size() % kRecordAlignment != 0 ||
      chunk.at.value() % kRecordAlignment != 0) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes for log offset {}: records take multiples of {}", chunk.bytes.size(),
                    chunk.at.value(), kRecordAlignment));
  }
  if (chunk.segment_end < chunk.at || chunk.bytes.size() > chunk.segment_end - chunk.at) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes for log offset {} in a segment that ends at {}", chunk.bytes.size(),
                    chunk.at.value(), chunk.segment_end.value()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSegmentSize(uint64_t size) {
  if (size >= kMinSegmentSize && size <= kMaxSegmentSize && size % kPageSize == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("a segment of {} bytes", size));
}

absl::StatusOr<LogOffset> CheckRecords(const LogMirror::Chunk& chunk) {
  RETURN_IF_ERROR(CheckShape(chunk));
  LogOffset at = chunk.at;
  for (std::string_view rest = chunk.bytes; !rest.empty();) {
    ASSIGN_OR_RETURN(const RecordHeader header, CheckRecord(rest, {at, chunk.epoch}));
    const uint64_t space = RoundUp(header.length, kRecordAlignment);  // no more than `rest`
    const std::string_view padding = rest.substr(header.length, space - header.length);
    if (padding.find_first_not_of('\0') != std::string_view::npos) {
      return absl::DataLossError(
          fmt::format("no zeros behind the record at log offset {}", at.value()));
    }
    rest.remove_prefix(space);
    at += space;
    if (header.kind != RecordKind::kPadding) continue;
    if (rest.empty()) return chunk.segment_end;
    return absl::DataLossError(
        fmt::format("records at log offset {}, where the segment has ended", at.value()));
  }
  return chunk.segment_end - at < kRecordHeaderSize ? chunk.segment_end : at;
}

}  // namespace dunlin::store
