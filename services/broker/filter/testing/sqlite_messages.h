// SqliteMessages: sample messages as rows of a table in memory, and what SQLite says of each.

#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/broker/filter/sql_program.h"
#include "services/broker/filter/testing/random_filter.h"

struct sqlite3;

namespace dunlin::broker {

class SqliteMessages {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteMessages>> Open();
  ~SqliteMessages();

  // In place of those that were there.
  absl::Status Fill(const std::vector<SampleMessage>& messages);

  // Of each message, in order.
  absl::StatusOr<std::vector<SqlTruth>> Evaluate(const SampleFilter& filter) const;

 private:
  explicit SqliteMessages(sqlite3* database) : database_(database) {}
  absl::Status Execute(const char* statement) const;
  absl::Status Error() const;

  sqlite3* const database_;
};

}  // namespace dunlin::broker
