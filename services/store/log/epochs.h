// Epochs: which generation of the writer wrote which part of the log; the `epochs` file.
//
// A record is valid only when its epoch is the one in force at its offset: bytes that an earlier
// writer left behind the end can so never come back as records. docs/formats/epochs.md.
//
// The members of a broker group compare their logs by the same entries: EpochHistory
// (services/replicator/roles) is this class without its file, and tests hold the two together.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

class Epochs {
 public:
  struct Entry {
    Epoch epoch;
    LogOffset start;

    friend bool operator==(const Entry&, const Entry&) = default;
  };

  // Where two logs part: both hold the same below `offset`. Of the epochs that begin at `offset`
  // those up to `epoch` have begun in both.
  struct Point {
    Epoch epoch;
    LogOffset offset;

    friend bool operator==(const Point&, const Point&) = default;
  };

  // Empty when there is no file. DATA_LOSS when the file is damaged.
  static absl::StatusOr<Epochs> Load(FileSystem& files, const std::string& path);

  // Not known below the first entry: after the file was lost the records there are believed.
  std::optional<Epoch> At(LogOffset offset) const;
  // Ascending in epoch, not descending in start: of several that begin at one offset all but the
  // last have no record.
  const std::vector<Entry>& entries() const { return entries_; }
  // Where the epoch in force at `offset` ends: the start of the next one, or the end of all
  // offsets.
  LogOffset EndAt(LogOffset offset) const;
  Epoch last() const { return entries_.empty() ? Epoch(0) : entries_.back().epoch; }

  // From `start` on `epoch` is in force; entries behind `start` are forgotten. One that begins
  // there and got no record stays: who has it has more of the log than who has not. REQUIRES:
  // `epoch` is above those that stay.
  void Begin(Epoch epoch, LogOffset start);
  // The log ends at `to.offset` now, and has nothing of epochs after `to.epoch`.
  void TruncateTo(Point to);
  // Forgets epochs that begin behind `end`, where the log ends.
  void CutAt(LogOffset end);
  // Forgets epochs that begin at or behind `end`, where the log ends: of a log that no other is
  // compared with.
  void DropEmpty(LogOffset end);
  // Forgets epochs that began below `offset` and ended at or below it.
  void Prune(LogOffset offset);

  absl::Status Save(FileSystem& files, const std::string& path) const;

 private:
  // The first entry that begins behind `offset`.
  std::vector<Entry>::const_iterator FirstBehind(LogOffset offset) const;

  std::vector<Entry> entries_;
};

}  // namespace dunlin::store
