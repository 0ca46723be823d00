// MemoryLog: a log in memory with what matters to shipping: records, segments, epochs, a start that
// moves. Both ends of a stream in tests are one. Thread-safe.

#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/bytes.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/replicator/roles/epoch_history.h"
#include "services/replicator/transport/follow_frame.h"
#include "services/replicator/transport/log_source.h"

namespace dunlin::replicator {

class MemoryLog {
 public:
  explicit MemoryLog(uint64_t segment_size = 4096) : segment_size_(segment_size) {}

  // A record: its length, 4 bytes, then `payload`, then zeros up to a multiple of 8. Where the rest
  // of a segment is too small for it a record without a payload fills it.
  void Append(std::string_view payload) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::string record = MakeRecord(4 + payload.size());
    std::copy(payload.begin(), payload.end(), record.begin() + 4);
    MutexLock lock(mutex_);
    const uint64_t rest = SegmentEnd() - end_;
    if (rest < record.size()) AddLocked(MakeRecord(rest), SegmentEnd());
    AddLocked(std::move(record), SegmentEnd());
  }
  void BeginEpoch(Epoch epoch) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    history_.Begin(epoch, end_);
  }
  void DropBefore(LogOffset offset) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    records_.erase(records_.begin(), records_.lower_bound(offset));
    start_ = offset;
  }

  // As a mirror.
  absl::Status Take(const FrameHeader& header, std::string_view bytes) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (header.epoch > history_.last()) history_.Begin(header.epoch, header.epoch_start);
    if (bytes.empty()) return absl::OkStatus();
    if (header.offset < end_) return absl::FailedPreconditionError("not at the end");
    end_ = header.offset;
    while (!bytes.empty()) {
      const size_t size = RoundUp(LoadLittle<uint32_t>(bytes.data()), 8);
      if (size == 0 || size > bytes.size()) return absl::DataLossError("no whole record");
      AddLocked(std::string(bytes.substr(0, size)), header.segment_end);
      bytes.remove_prefix(size);
    }
    return absl::OkStatus();
  }
  void TruncateTo(EpochHistory::CommonPoint point) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    records_.erase(records_.lower_bound(point.offset), records_.end());
    end_ = point.offset;
    history_.TruncateTo(point);
  }
  void Reset(LogOffset start) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    records_.clear();
    start_ = start;
    end_ = start;
    history_ = EpochHistory();
  }

  LogOffset start() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return start_;
  }
  LogOffset end() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return end_;
  }
  EpochHistory history() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return history_;
  }
  // Everything that the log is made of.
  using Contents = std::vector<std::pair<LogOffset, std::string>>;
  Contents contents() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    Contents contents;
    for (const auto& [offset, record] : records_) contents.emplace_back(offset, record.bytes);
    return contents;
  }

  OpenLogSource Opener() {
    return [this] { return std::make_unique<Source>(*this); };
  }

 private:
  struct Record {
    std::string bytes;
    LogOffset segment_end;
    Epoch epoch;
  };

  class Source final : public LogSource {
   public:
    explicit Source(MemoryLog& log) : log_(log) {}
    absl::StatusOr<Piece> Read(LogOffset from, LogOffset limit, size_t max_bytes) override {
      return log_.Read(from, limit, max_bytes);
    }

   private:
    MemoryLog& log_;
  };

  static std::string MakeRecord(uint64_t length) {
    std::string record(RoundUp(length, 8), '\0');
    StoreLittle(record.data(), static_cast<uint32_t>(length));
    return record;
  }
  // Of the segment that holds the end of the log.
  LogOffset SegmentEnd() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return LogOffset((end_.value() / segment_size_ + 1) * segment_size_);
  }

  void AddLocked(std::string record, LogOffset segment_end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const size_t size = record.size();
    records_[end_] = {std::move(record), segment_end, history_.last()};
    end_ += size;
  }

  absl::StatusOr<LogSource::Piece> Read(LogOffset from, LogOffset limit, size_t max_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (from < start_) return absl::NotFoundError("expired");
    auto record = records_.find(from);
    if (record == records_.end() || from >= limit) return absl::OutOfRangeError("nothing yet");
    LogSource::Piece piece;
    piece.begin = from;
    piece.epoch = record->second.epoch;
    piece.segment_end = record->second.segment_end;
    auto bytes = std::make_shared<std::string>();
    for (; record != records_.end() && record->second.segment_end == piece.segment_end &&
           record->second.epoch == piece.epoch && record->first < limit &&
           (bytes->empty() || bytes->size() + record->second.bytes.size() <= max_bytes);
         ++record) {
      bytes->append(record->second.bytes);
    }
    piece.end = from + bytes->size();
    piece.bytes = *bytes;
    piece.pin = bytes;
    return piece;
  }

  const uint64_t segment_size_;
  mutable Mutex mutex_;
  std::map<LogOffset, Record> records_ ABSL_GUARDED_BY(mutex_);
  LogOffset start_ ABSL_GUARDED_BY(mutex_);
  LogOffset end_ ABSL_GUARDED_BY(mutex_);
  EpochHistory history_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::replicator
