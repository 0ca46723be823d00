#include "services/store/log/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::store {
namespace {

// How far behind a torn record others of the same unsynced tail are looked for. What the writer may
// have under way at a time is bounded by the same figure (appender.cc).
constexpr uint64_t kTornTail = 64u << 20;

// Everything below this was on disk when the record was made.
LogOffset FlushedBefore(const RecordHeader& header) {
  const uint64_t distance = uint64_t{header.unflushed} * 8;
  return header.unflushed == UINT32_MAX || distance > header.log_offset.value()
             ? LogOffset(0)
             : header.log_offset - distance;
}

}  // namespace

LogOffset RecordView::end() const {
  return header_.log_offset + RoundUp(header_.length, kRecordAlignment);
}

LogOffset RecordWalk::SkipRest(LogOffset offset) const {
  const std::shared_ptr<Segment> segment = segments_.Find(offset);
  if (segment != nullptr && segment->end() - offset < kRecordHeaderSize) return segment->end();
  return offset;
}

absl::StatusOr<RecordView> RecordWalk::At(LogOffset offset) const {
  const std::shared_ptr<Segment> segment = segments_.Find(offset);
  if (segment == nullptr) {
    return absl::OutOfRangeError(fmt::format("no segment holds log offset {}", offset.value()));
  }
  return At(offset, segment);
}

absl::StatusOr<RecordView> RecordWalk::At(LogOffset offset,
                                          const std::shared_ptr<Segment>& segment) const {
  if (segment->end() - offset < kRecordHeaderSize) {
    return absl::OutOfRangeError(fmt::format("no record begins at log offset {}", offset.value()));
  }
  const std::string_view bytes = segment->From(offset);
  absl::StatusOr<RecordHeader> header = CheckRecord(bytes, {offset, epochs_.At(offset)});
  if (!header.ok()) return header.status();
  const std::string_view payload =
      bytes.substr(kRecordHeaderSize, header->length - kRecordHeaderSize);
  return RecordView(*header, payload, segment);
}

std::optional<RecordView> RecordWalk::Search(LogOffset offset, LogOffset limit) const {
  offset = LogOffset(RoundUp(offset.value(), kRecordAlignment));
  while (offset < limit) {
    const std::shared_ptr<Segment> segment = segments_.FindFrom(offset);
    if (segment == nullptr) return std::nullopt;
    offset = std::max(offset, segment->begin());
    const LogOffset end = std::min(limit, segment->end());
    for (; offset < end; offset += kRecordAlignment) {
      if (!MayBeRecord(segment->From(offset), offset)) continue;
      absl::StatusOr<RecordView> record = At(offset);
      if (record.ok()) return *std::move(record);
    }
  }
  return std::nullopt;
}

Recovered Recover(const SegmentSet& segments, const RecordWalk& walk, LogOffset from,
                  LogOffset flushed, Unflushed unflushed) {
  Recovered recovered;
  // What an earlier writer left behind its end is no record, which the records themselves tell when
  // the epochs file is lost.
  auto is_stale = [&](const RecordView& record) {
    return record.header().epoch < recovered.last_epoch;
  };
  auto search = [&](LogOffset offset, LogOffset limit) {
    std::optional<RecordView> found = walk.Search(offset, limit);
    while (found.has_value() && is_stale(*found)) {
      found = walk.Search(found->header().log_offset + kRecordAlignment, limit);
    }
    return found;
  };
  LogOffset at = from;
  for (;;) {
    at = walk.SkipRest(at);
    absl::StatusOr<RecordView> record = walk.At(at);
    if (record.ok() && is_stale(*record)) record = absl::DataLossError("it is of an earlier epoch");
    if (record.ok()) {
      ++recovered.records;
      recovered.last_epoch = std::max(recovered.last_epoch, record->header().epoch);
      recovered.last_time = std::max(recovered.last_time, record->header().store_time);
      at = record->header().kind == RecordKind::kPadding ? segments.Find(at)->end() : record->end();
      continue;
    }
    // A hole. Below what is known to have been flushed it is damage. Behind that it is the torn
    // tail, unless a record further on proves that the hole had been on disk.
    const LogOffset limit = std::max(at, flushed) + kTornTail;
    std::optional<RecordView> next = search(at + kRecordAlignment, limit);
    bool damage = at < flushed;
    for (std::optional<RecordView> later = next;
         !damage && later.has_value() && unflushed == Unflushed::kProves;
         later = search(later->end(), limit)) {
      damage = FlushedBefore(later->header()) > at;
    }
    if (!damage) break;
    const LogOffset end = next.has_value() ? next->header().log_offset : flushed;
    log::Error(
        "the log is damaged from {} to {} ({}): what stood there is lost, the rest is served",
        at.value(), end.value(), FromAbsl(record.status().message()));
    recovered.damage.push_back({at, end});
    at = end;
  }
  recovered.end = at;
  return recovered;
}

}  // namespace dunlin::store
