// SegmentPreparer: makes the next segment of a log ahead of need, on a thread of its own.
//
// Begun when half of the current segment is filled, and paced so that the zeros do not take the
// disk away from what is written meanwhile. A failure is tried again every second; a writer that
// comes to the end of its segment first makes the next one in a hurry (SegmentSet::FindOrMake).

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/log/segment_set.h"

namespace dunlin::store {

class SegmentPreparer {
 public:
  // Where the writer is.
  struct Place {
    LogOffset end;
    LogOffset segment_begin;
    LogOffset segment_end;
    uint64_t next_size = 0;  // of the segment that will follow

    bool PastHalf() const { return end - segment_begin >= (segment_end - segment_begin) / 2; }
  };

  // `place` is called on the thread, until Stop has returned. `name` is the thread's.
  SegmentPreparer(SegmentSet& segments, std::function<Place()> place, const char* name);
  ~SegmentPreparer() { Stop(); }

  // The writer has passed the half of its segment, or has come to another one. May be called with
  // locks held that `place` takes.
  void Look() ABSL_LOCKS_EXCLUDED(mutex_);
  // A segment that is being made is finished first. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Keeps the making of a segment, begun when the log ended at `from`, from taking the disk away
  // from what is appended meanwhile.
  void Pace(LogOffset from, std::chrono::steady_clock::time_point begun, uint64_t done_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // False when it was stopped meanwhile.
  bool Rest(std::chrono::milliseconds time) ABSL_LOCKS_EXCLUDED(mutex_);

  SegmentSet& segments_;
  const std::function<Place()> place_;
  Mutex mutex_;
  CondVar changed_;
  bool look_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::store
