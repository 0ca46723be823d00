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
  // Empty when there is no file. DATA_LOSS when the file is damaged.
  static absl::StatusOr<Epochs> Load(FileSystem& files, const std::string& path);

  // Not known below the first entry: after the file was lost the records there are believed.
  std::optional<Epoch> At(LogOffset offset) const;
  Epoch last() const { return entries_.empty() ? Epoch(0) : entries_.back().epoch; }

  // From `start` on `epoch` is in force; entries at or behind `start` are replaced.
  void Begin(Epoch epoch, LogOffset start);
  // Forgets epochs that ended at or below `offset`.
  void Prune(LogOffset offset);

  absl::Status Save(FileSystem& files, const std::string& path) const;

 private:
  struct Entry {
    Epoch epoch;
    LogOffset start;
  };
  std::vector<Entry> entries_;  // ascending in both
};

}  // namespace dunlin::store
