// Epochs: which generation of the writer wrote which part of the log; the `epochs` file.
//
// A record is valid only when its epoch is the one in force at its offset: bytes that an earlier
// writer left behind the end can so never come back as records. docs/formats/epochs.md.

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

  // Empty when there is no file. DATA_LOSS when the file is damaged.
  static absl::StatusOr<Epochs> Load(FileSystem& files, const std::string& path);

  // Not known below the first entry: after the file was lost the records there are believed.
  std::optional<Epoch> At(LogOffset offset) const;
  const std::vector<Entry>& entries() const { return entries_; }  // ascending in both
  // Where the epoch in force at `offset` ends: the start of the next one, or the end of all
  // offsets.
  LogOffset EndAt(LogOffset offset) const;
  Epoch last() const { return entries_.empty() ? Epoch(0) : entries_.back().epoch; }

  // From `start` on `epoch` is in force; entries at or behind `start` are replaced.
  void Begin(Epoch epoch, LogOffset start);
  // Forgets epochs that begin at or behind `end`, where the log is cut off.
  void CutAt(LogOffset end);
  // Forgets epochs that ended at or below `offset`.
  void Prune(LogOffset offset);

  absl::Status Save(FileSystem& files, const std::string& path) const;

 private:
  // The first entry that begins behind `offset`.
  std::vector<Entry>::const_iterator FirstBehind(LogOffset offset) const;

  std::vector<Entry> entries_;
};

}  // namespace dunlin::store
