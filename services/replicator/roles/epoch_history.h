// EpochHistory: which epoch wrote which part of a log, and up to where two logs are the same.
//
// An entry {epoch, start} is made by the one master of that epoch; whoever has an equal entry has
// the same bytes from `start` to the lower of the two ends of that epoch, and everything below it.
// A value; mirrors the store's `epochs` file.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"

namespace dunlin::replicator {

// How much a log holds: logs are compared by this, in this order.
struct LogPosition {
  Epoch epoch;  // of its newest entry, which may be empty: a begun epoch counts
  LogOffset end;

  friend constexpr auto operator<=>(const LogPosition&, const LogPosition&) = default;
};

class EpochHistory {
 public:
  struct Entry {
    Epoch epoch;
    LogOffset start;

    friend bool operator==(const Entry&, const Entry&) = default;
  };
  // Where two logs part: both hold the same below `offset`, the last of it written in `epoch`.
  struct CommonPoint {
    Epoch epoch;
    LogOffset offset;

    friend bool operator==(const CommonPoint&, const CommonPoint&) = default;
  };

  EpochHistory() = default;
  // REQUIRES: ascending in epoch, not descending in start.
  explicit EpochHistory(std::vector<Entry> entries);
  // Of what came from outside: INVALID_ARGUMENT when the entries are not so, or when one begins
  // behind `end`, where the log ends.
  static absl::StatusOr<EpochHistory> Make(std::vector<Entry> entries, LogOffset end);

  std::span<const Entry> entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  Epoch last() const { return entries_.empty() ? Epoch(0) : entries_.back().epoch; }
  // Start of `epoch`; none when the history does not have it.
  std::optional<LogOffset> StartOf(Epoch epoch) const;

  // Of a log that ends at `offset`, with all epochs that have begun by then.
  CommonPoint PointAt(LogOffset offset) const;

  // REQUIRES: epoch > last(), start at or behind every entry.
  void Begin(Epoch epoch, LogOffset start);
  // The log ends at `point.offset` now and has nothing of epochs after `point.epoch`.
  void TruncateTo(CommonPoint point);
  // Drops entries that begin behind `end`: what a loss of power leaves when the log lost more.
  void CutAt(LogOffset end);

  // By the newest entry that both have: the lower of the two ends of that epoch. None when they
  // have no entry in common.
  static std::optional<CommonPoint> LastCommon(const EpochHistory& a, LogOffset a_end,
                                               const EpochHistory& b, LogOffset b_end);

  friend bool operator==(const EpochHistory&, const EpochHistory&) = default;
  std::string ToString() const;  // "1@0 3@4096"

 private:
  LogOffset EndOf(size_t entry, LogOffset log_end) const;

  std::vector<Entry> entries_;
};

}  // namespace dunlin::replicator
