#include "services/store/log/readable_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::store {
namespace {

// How far behind a damaged beginning of a segment a record is looked for that tells the time.
constexpr uint64_t kTimeSearch = 1u << 20;

}  // namespace

class ReadableLog::Reader final : public RecordReader {
 public:
  explicit Reader(ReadableLog& log) : log_(log) {}

  absl::StatusOr<RecordView> Read(LogOffset offset) override {
    if (offset >= log_.start() && offset < log_.Written() && Take(offset)) {
      absl::StatusOr<RecordView> record = log_.Walk().At(offset, segment_);
      if (record.ok()) return record;
    }
    return log_.Read(offset);  // says what is wrong
  }
  absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) override {
    if (offset >= log_.start() && offset < limit && offset < log_.Written() && Take(offset)) {
      absl::StatusOr<RecordView> record = log_.Walk().At(offset, segment_);
      if (record.ok() && record->header().kind != RecordKind::kPadding) return record;
    }
    return log_.ReadNext(offset, limit);  // steps over padding and damage
  }

 private:
  // Whether the segment of `offset` is at hand.
  bool Take(LogOffset offset) {
    if (segment_ == nullptr || offset < segment_->begin() || offset >= segment_->end()) {
      segment_ = log_.segments_->Find(offset);
    }
    return segment_ != nullptr;
  }

  ReadableLog& log_;
  std::shared_ptr<Segment> segment_;
};

void ReadableLog::Prefetch(LogOffset from, uint64_t length) {
  const LogOffset end = std::min(from + length, Written());
  while (from < end) {
    const std::shared_ptr<Segment> segment = segments_->Find(from);
    if (segment == nullptr) return;
    segment->Prefetch(from, end - from);
    from = segment->end();
  }
}

std::unique_ptr<RecordReader> ReadableLog::NewReader() { return std::make_unique<Reader>(*this); }

absl::StatusOr<RecordView> ReadableLog::Read(LogOffset offset) {
  if (offset < start()) {
    return absl::NotFoundError(fmt::format("log offset {} has expired; the log begins at {}",
                                           offset.value(), start().value()));
  }
  if (offset >= Written()) {
    return absl::OutOfRangeError(fmt::format("log offset {} is not written yet", offset.value()));
  }
  absl::StatusOr<RecordView> record = Walk().At(offset);
  if (record.ok()) return record;
  if (absl::IsOutOfRange(record.status())) {
    return absl::DataLossError(
        fmt::format("log offset {}: its segment is missing", offset.value()));
  }
  AddDamage({offset, offset + kRecordAlignment}, FromAbsl(record.status().message()));
  return record;
}

absl::StatusOr<RecordView> ReadableLog::ReadNext(LogOffset offset, LogOffset limit) {
  limit = std::min(limit, Written());
  offset = std::max(offset, start());
  while (offset < limit) {
    offset = Walk().SkipRest(offset);
    if (offset >= limit) break;
    // Retention may take it away meanwhile.
    const std::shared_ptr<Segment> segment = segments_->Find(offset);
    absl::StatusOr<RecordView> record =
        segment == nullptr ? Walk().At(offset) : Walk().At(offset, segment);
    if (record.ok()) {
      if (record->header().kind != RecordKind::kPadding) return record;
      offset = segment->end();
      continue;
    }
    std::optional<RecordView> next = Walk().Search(offset + kRecordAlignment, limit);
    const LogOffset end = next.has_value() ? next->header().log_offset : limit;
    AddDamage({offset, end}, FromAbsl(record.status().message()));
    offset = end;
  }
  return absl::OutOfRangeError("no further record yet");
}

void ReadableLog::AddDamage(DamagedRange range, std::string_view why) {
  MutexLock lock(mutex_);
  for (DamagedRange& known : damage_) {
    if (range.begin >= known.begin && range.begin < known.end) {
      known.end = std::max(known.end, range.end);
      return;
    }
  }
  damage_.push_back(range);
  log::Error("the log is damaged at {}: {}", range.begin.value(), why);
}

std::vector<DamagedRange> ReadableLog::damage() const {
  MutexLock lock(mutex_);
  return damage_;
}

std::vector<CommitLog::SegmentInfo> ReadableLog::Segments() const {
  std::vector<SegmentInfo> infos;
  const LogOffset end = Written();
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    SegmentInfo info;
    info.begin = segment->begin();
    info.end = segment->end();
    info.bytes_on_disk = segment->size();
    infos.push_back(info);
  }
  // The first record behind a segment tells when the segment was last written to. Where it cannot
  // be read a later one does: too late a time keeps a segment, too early a one throws it away.
  Timestamp later = clock_.Now();
  for (auto info = infos.rbegin(); info != infos.rend(); ++info) {
    const LogOffset from = info->end < end ? info->end : info->begin;
    const std::optional<RecordView> record = Walk().Search(from, std::min(from + kTimeSearch, end));
    if (record.has_value()) later = record->header().store_time;
    info->last_write = later;
  }
  return infos;
}

void ReadableLog::SetDamage(std::vector<DamagedRange> damage) {
  MutexLock lock(mutex_);
  damage_ = std::move(damage);
}

}  // namespace dunlin::store
