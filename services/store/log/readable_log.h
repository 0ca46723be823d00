// ReadableLog: the half of a CommitLog that reads; the same for who writes the log and for who
// follows it.
//
// Thread-safe. What is below Written() can be read; it is for the other half to see to it that the
// segments that hold it are in the set, and the epochs in force there in the walk.

#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/recovery.h"
#include "services/store/log/segment_set.h"

namespace dunlin::store {

class ReadableLog : public CommitLog {
 public:
  absl::StatusOr<RecordView> Read(LogOffset offset) final;
  absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) final;
  std::unique_ptr<RecordReader> NewReader() final;
  void Prefetch(LogOffset from, uint64_t length) final;
  LogOffset start() const final { return LogOffset(start_.load(std::memory_order_acquire)); }
  std::vector<DamagedRange> damage() const final ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<SegmentInfo> Segments() const final;

 protected:
  ReadableLog(std::unique_ptr<SegmentSet> segments, const Clock& clock)
      : clock_(clock), segments_(std::move(segments)) {}

  // Both before anything is read. `walk` must live as long as the log, and so must those that it
  // takes the place of: readers may be under way with them.
  void SetWalk(const RecordWalk& walk) { walk_.store(&walk, std::memory_order_release); }
  void SetWritten(const Watermark& written) { written_ = &written; }
  void SetStart(LogOffset offset) { start_.store(offset.value(), std::memory_order_release); }
  void SetDamage(std::vector<DamagedRange> damage) ABSL_LOCKS_EXCLUDED(mutex_);

  SegmentSet& segments() const { return *segments_; }

 private:
  class Reader;

  LogOffset Written() const { return written_->Get(); }
  const RecordWalk& Walk() const { return *walk_.load(std::memory_order_acquire); }
  void AddDamage(DamagedRange range, std::string_view why) ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  const std::unique_ptr<SegmentSet> segments_;
  std::atomic<const RecordWalk*> walk_{nullptr};
  const Watermark* written_ = nullptr;
  std::atomic<uint64_t> start_{0};

  mutable Mutex mutex_;
  std::vector<DamagedRange> damage_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::store
