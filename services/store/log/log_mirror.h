// LogMirror: the log of a slave, as its replicator writes it: a copy of the master's, byte for
// byte.
//
// Takes the place of CommitLog as the one writer of the store directory (it holds the same lock);
// readers are the broker's LogFollower and RawReader. Segments begin and end where the master's do.
// Nothing is written before it has been checked: each record must stand at its own offset, in the
// epoch in force, with a right CRC, and the bytes must end where a record ends.
//
// Two files tell what is valid besides the records themselves:
//   epochs   as CommitLog has it: a record counts only in the epoch in force at its offset. Two
//            records with the same offset and epoch are the same record, since an epoch has one
//            writer that never takes back what it showed; so what a cut left behind the end is
//            either overruled by the next epoch, or is what will be written there again.
//   mirror   an empty file while a mirror has written what was not synced when it was last closed.
//            A record says how much had been flushed when the *master* made it (`unflushed`), which
//            proves nothing about this disk: as long as the file is there, recovery takes a hole
//            for a torn tail unless the control page says that it had been flushed here.
//
// What a crash leaves, step by step, is told at TruncateTo and Reset. Each public call is safe to
// repeat after one.
//
// Threads: Append, BeginEpoch, TruncateTo, Reset, DropBefore and Close from one thread at a time;
// the rest from any. Two threads live inside: `mirror-sync` (fdatasync every flush_interval: bounds
// what is dirty) and `mirror-prepare` (makes the next segment when half of the current one is
// filled).
//
// The first failure of a write or sync is final (architecture, rule 4): every later call returns
// it; Close and open again.

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/store/log/epochs.h"
#include "services/store/log/record_view.h"

namespace dunlin::store {

struct LogMirrorOptions {
  std::string directory;  // the same as CommitLogOptions::directory
  std::chrono::milliseconds flush_interval{500};
};

class LogMirror {
 public:
  // Takes the lock, finds the end, cuts a torn tail, syncs what is left. Errors: as those of
  // CommitLog::Open; FAILED_PRECONDITION while another process writes the log.
  static absl::StatusOr<std::unique_ptr<LogMirror>> Open(const LogMirrorOptions& options,
                                                         FileSystem& files);
  virtual ~LogMirror() = default;

  virtual LogOffset start() const = 0;
  // What is below has been written; `flushed`: and is on disk.
  virtual LogOffset end() const = 0;
  virtual LogOffset flushed() const = 0;
  virtual Epochs epochs() const = 0;
  // What was found damaged below end() when the log was opened, ascending: it had been on disk, and
  // cannot be read any more. A cut, Reset or DropBefore of the place makes it good.
  virtual std::vector<DamagedRange> damage() const = 0;

  // From `start` on, which is end(), `epoch` is in force. Durable on return, which includes all
  // that is below. An empty log may begin in the middle of an epoch: then `start` is where the
  // master has it begin, below end(). Does nothing when it is in force already and began there.
  // FAILED_PRECONDITION for another `start`, or when `epoch` is not above the last one.
  virtual absl::Status BeginEpoch(Epoch epoch, LogOffset start) = 0;

  // What RawReader::Piece holds, on its way.
  struct Chunk {
    LogOffset at;           // end()
    LogOffset segment_end;  // of the segment that holds it
    Epoch epoch;            // the last of epochs()
    std::string_view bytes;
  };
  // Written, not synced, on return. Nothing has been written unless it is OK, or the error is
  // final. Errors: FAILED_PRECONDITION (not at the end, another epoch, other segment ends: the
  // stream is not of this log), DATA_LOSS (no whole, valid records: damaged on the way or on the
  // master's disk; names the place), INVALID_ARGUMENT (no multiple of 8 bytes, a segment of an
  // impossible size), those of the file system.
  virtual absl::Status Append(const Chunk& chunk) = 0;

  // Everything below end() is on disk on return. Waits for the disk.
  virtual absl::Status Flush() = 0;

  // May what readers may have seen (ControlPage: `replicated`, `shown`) be cut off?
  enum class Confirmed {
    kMustStay,  // FAILED_PRECONDITION instead
    kMayGo,     // counts ControlPage::cuts, so that a running follower ends; that a view on disk is
                // of another log is seen by the epoch of its end (CommitLog::EpochAt)
  };
  // Cuts off what is at or behind `to.offset`, a place where a record begins (INVALID_ARGUMENT or
  // DATA_LOSS otherwise) and not below start(); and the epochs that begin behind it or come after
  // `to.epoch`, even when no record goes. Durable on return.
  //   1. The page's `appended` and `flushed` go down, synced. A crash behind it: nothing was cut.
  //   2. `epochs` loses those entries. A crash behind it: what was of those epochs is cut, what is
  //      left ends where its own epoch did.
  //   3. Segments that begin behind `to.offset` go, last one first; the rest of the last one is
  //      filled with zeros and synced. A crash within: the log ends somewhere between `to.offset`
  //      and before.
  virtual absl::Status TruncateTo(Epochs::Point to, Confirmed confirmed) = 0;

  // An empty log that will begin at `start`, without epochs. Counts as a cut when it held anything.
  // What readers may have seen must stay when it lies at or behind `start`: below it, it has
  // expired. Durable on return; a crash within leaves an end of the old log, or nothing.
  virtual absl::Status Reset(LogOffset start, Confirmed confirmed) = 0;

  // Removes the segments that end at or below `offset`, but not the last one.
  virtual absl::Status DropBefore(LogOffset offset) = 0;

  // The sticky error, OK while it works.
  virtual absl::Status health() const = 0;

  // Syncs, stops the threads, lets the lock go. Idempotent; everything else fails afterwards.
  virtual absl::Status Close() = 0;
};

}  // namespace dunlin::store
