// OpenLogFollower: the log of a slave as its broker sees it: a CommitLog that somebody else writes.
//
// The writer is a LogMirror, in the process of the replicator or in this one. The follower takes no
// lock and changes nothing in the directory but the answers on the control page (`viewed`,
// `shown`).
//
// A thread, `log-follower`, waits on the control page and moves the watermarks:
//   confirmed = written = min(appended, replicated): what a later master may take back is not to be
//   seen, not even by those who read what is written only;
//   flushed = min(flushed, confirmed).
// So a truncation of what was never confirmed goes by unseen. When something confirmed was cut
// (ControlPage::cuts: a slave that starts anew, or lost its master's tail under ASYNC) the view
// that was built is of another log: health() turns to DATA_LOSS for good, the watermarks stand
// still, and whoever owns the follower opens the rooms anew; the dispatcher sees by the epoch of
// the view's end that it is to be built anew.
//
// Append, AppendAndWait and DropBefore are refused with FAILED_PRECONDITION: segments go when the
// replicator drops them. FlushUpTo syncs the files itself, which every process may. end() is that
// of what is confirmed; epoch() is in force there and may grow.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"

namespace dunlin::store {

struct LogFollowerOptions {
  std::string directory;  // the same as CommitLogOptions::directory
  // The view at hand holds everything below `viewed`, where `viewed_epoch` is in force (EpochAt of
  // the offset before it); 0: there is none. If the log still has that, it is confirmed, whatever
  // the page says: a view is only ever built from that.
  LogOffset viewed{};
  Epoch viewed_epoch{};
};

// Errors: NOT_FOUND while nobody has made a log there yet, DATA_LOSS, those of the file system.
// `files` and `clock` must outlive the follower.
absl::StatusOr<std::unique_ptr<CommitLog>> OpenLogFollower(const LogFollowerOptions& options,
                                                           FileSystem& files, const Clock& clock);

}  // namespace dunlin::store
