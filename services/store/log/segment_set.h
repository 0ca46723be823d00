// SegmentSet: the files of one log, in order; finds, makes, recycles and removes them.
//
// Thread-safe. Making the next segment ahead of need is what the log's `preparer` thread does with
// Prepare(): filled with zeros and synced, or an expired one renamed, so that the committer's
// writes change no metadata. A file gets its final name only when it is complete.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/log/segment.h"

namespace dunlin::store {

class SegmentSet {
 public:
  // What becomes of an expired segment that nobody in this process reads.
  enum class Expired {
    kIsReused,   // its file becomes a later segment
    kIsRemoved,  // another process may have it mapped, and must not see other bytes there
  };

  // Opens what is in `directory`, which is made if need be. Leftovers of a crash (files without a
  // segment's name) are removed; an empty or overlapping segment is DATA_LOSS.
  static absl::StatusOr<std::unique_ptr<SegmentSet>> Open(FileSystem& files, std::string directory,
                                                          uint64_t segment_size,
                                                          Expired expired = Expired::kIsReused);

  // The same without changing anything; what has no segment's name is passed over.
  static absl::StatusOr<std::unique_ptr<SegmentSet>> OpenForReading(FileSystem& files,
                                                                    std::string directory);

  // A set that Refresh fills. NOT_FOUND when there is no such directory.
  static absl::StatusOr<std::unique_ptr<SegmentSet>> OpenEmptyForReading(FileSystem& files,
                                                                         std::string directory);

  // The segment that covers `offset`; null when there is none.
  std::shared_ptr<Segment> Find(LogOffset offset) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The first segment that ends above `offset`; null when there is none.
  std::shared_ptr<Segment> FindFrom(LogOffset offset) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Segment>> List() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The segment that begins at `begin`, made in a hurry if nobody prepared it: space reserved, not
  // filled.
  absl::StatusOr<std::shared_ptr<Segment>> FindOrMake(LogOffset begin, uint64_t size)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::StatusOr<std::shared_ptr<Segment>> FindOrMake(LogOffset begin) {
    return FindOrMake(begin, segment_size_);
  }
  // Makes the segment at `begin` with care, if there is none yet; `pace` as File::FillWithZeros has
  // it.
  absl::Status Prepare(LogOffset begin, uint64_t size, Pace pace)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Gives up the segments that end at or below `offset`: one that nobody reads is kept for reuse,
  // others are removed and vanish when the last reader is done.
  absl::Status DropBefore(LogOffset offset) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Removes the segments that begin at or behind `offset`, the last one first. Durable on return.
  absl::Status RemoveFrom(LogOffset offset) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Of a set that is open for reading: forgets the segments that end at or below `start`, opens
  // those behind it that begin below `limit`. What the writer may yet remove or make anew must
  // begin at or behind `limit`.
  absl::Status Refresh(LogOffset start, LogOffset limit) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  uint64_t segment_size() const { return segment_size_; }

 private:
  class Unfinished;

  absl::Status Load(bool remove_leftovers);

  SegmentSet(FileSystem& files, std::string directory, uint64_t segment_size, Expired expired);

  std::string PathOf(LogOffset begin) const;
  absl::Status FillWithZeros(const std::string& path, uint64_t size, Pace pace);
  // Gives a complete file its name, unless there is a segment at `begin` already.
  absl::StatusOr<std::shared_ptr<Segment>> Adopt(Unfinished& file, LogOffset begin)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Segment> FindAt(LogOffset begin) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::string TemporaryPath() ABSL_LOCKS_EXCLUDED(change_mutex_);

  FileSystem& files_;
  const std::string directory_;
  const uint64_t segment_size_;
  const Expired expired_;
  // Serialises changes of the directory; held across their I/O. Taken before mutex_, which is the
  // only one that readers take.
  Mutex change_mutex_;
  std::optional<std::string> spare_ ABSL_GUARDED_BY(change_mutex_);  // path of a file to reuse
  int made_ ABSL_GUARDED_BY(change_mutex_) = 0;                      // for temporary names
  // What ends at or below it was given up: one that was still being made comes too late.
  LogOffset dropped_ ABSL_GUARDED_BY(change_mutex_);
  mutable Mutex mutex_;
  std::map<LogOffset, std::shared_ptr<Segment>> segments_ ABSL_GUARDED_BY(mutex_);  // by begin
};

}  // namespace dunlin::store
