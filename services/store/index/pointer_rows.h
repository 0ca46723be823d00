// PointerRows: which DELIVERY records lead to a message, by the message: for retention, which moves
// messages that a pointer further on still needs, and for who looks for a message by its key.
//
// docs/formats/rocksdb.md has the rows. A dead letter has one of its own; delivered timers come in
// such numbers that as many as were applied together share one.

#pragma once

#include <rocksdb/write_batch.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/state/database.h"

namespace dunlin::store {

struct Pointer {
  LogOffset origin;    // the message
  LogOffset delivery;  // the DELIVERY record

  friend bool operator==(const Pointer&, const Pointer&) = default;
};

// A row for one or more pointers, which are sorted by it. REQUIRES: not empty.
struct PointerRow {
  std::string key;
  std::string value;
};
PointerRow EncodePointers(std::vector<Pointer>& pointers);
// DATA_LOSS when it is none.
absl::StatusOr<std::vector<Pointer>> DecodePointers(std::string_view key, std::string_view value);

class PointerRows {
 public:
  // `database` must outlive the rows.
  explicit PointerRows(Database& database) : database_(database) {}

  // In a row of its own.
  void Put(const Pointer& pointer, rocksdb::WriteBatch& batch) const;
  // Together with others, by PutCollected. For one thread.
  void Collect(const Pointer& pointer) { collected_.push_back(pointer); }
  void PutCollected(rocksdb::WriteBatch& batch);

  // Pointers from below `begin` to records at or behind it. Below `start` the log has expired.
  absl::StatusOr<std::vector<Pointer>> Across(LogOffset start, LogOffset begin) const;
  // The first DELIVERY record found that leads to `origin` and that `accept` takes.
  using Accept = absl::FunctionRef<bool(LogOffset)>;
  absl::StatusOr<std::optional<LogOffset>> Find(LogOffset origin, Accept accept) const;

 private:
  Database& database_;
  std::vector<Pointer> collected_;
};

}  // namespace dunlin::store
