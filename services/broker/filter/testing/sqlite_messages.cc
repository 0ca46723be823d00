#include "services/broker/filter/testing/sqlite_messages.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <string>

#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

using Statement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

Statement Prepare(sqlite3* database, const std::string& text) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, text.data(), static_cast<int>(text.size()), &statement, nullptr);
  return {statement, &sqlite3_finalize};
}

void Bind(sqlite3_stmt* statement, int place, const SampleNumber& number) {
  if (const auto* integer = std::get_if<int64_t>(&number)) {
    sqlite3_bind_int64(statement, place, *integer);
  } else if (const auto* real = std::get_if<double>(&number)) {
    sqlite3_bind_double(statement, place, *real);
  } else {
    sqlite3_bind_null(statement, place);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteMessages>> SqliteMessages::Open() {
  sqlite3* database = nullptr;
  const int code = sqlite3_open(":memory:", &database);
  std::unique_ptr<SqliteMessages> messages(new SqliteMessages(database));
  if (code != SQLITE_OK) return messages->Error();
  // Columns without a type keep values as they are.
  std::string columns = "id INTEGER PRIMARY KEY";
  for (size_t i = 0; i < SampleProperties(); ++i) columns += fmt::format(", t{0}, n{0}, b{0}", i);
  RETURN_IF_ERROR(messages->Execute(fmt::format("CREATE TABLE m ({})", columns).c_str()));
  return messages;
}

SqliteMessages::~SqliteMessages() { sqlite3_close(database_); }

absl::Status SqliteMessages::Error() const {
  return absl::InternalError(fmt::format("SQLite: {}", sqlite3_errmsg(database_)));
}

absl::Status SqliteMessages::Execute(const char* statement) const {
  if (sqlite3_exec(database_, statement, nullptr, nullptr, nullptr) != SQLITE_OK) return Error();
  return absl::OkStatus();
}

absl::Status SqliteMessages::Fill(const std::vector<SampleMessage>& messages) {
  RETURN_IF_ERROR(Execute("DELETE FROM m"));
  std::string places = "?";
  for (size_t i = 0; i < SampleProperties(); ++i) places += ", ?, ?, ?";
  const Statement insert = Prepare(database_, fmt::format("INSERT INTO m VALUES ({})", places));
  for (size_t row = 0; row < messages.size(); ++row) {
    sqlite3_reset(insert.get());
    int place = 1;
    sqlite3_bind_int64(insert.get(), place++, static_cast<int64_t>(row));
    for (const SampleValue& value : messages[row].values) {
      if (value.text.has_value()) {
        sqlite3_bind_text(insert.get(), place++, value.text->data(),
                          static_cast<int>(value.text->size()), SQLITE_STATIC);
      } else {
        sqlite3_bind_null(insert.get(), place++);
      }
      Bind(insert.get(), place++, value.number);
      Bind(insert.get(), place++,
           value.truth.has_value() ? SampleNumber(int64_t{*value.truth}) : SampleNumber());
    }
    if (sqlite3_step(insert.get()) != SQLITE_DONE) return Error();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SqlTruth>> SqliteMessages::Evaluate(const SampleFilter& filter) const {
  const Statement select =
      Prepare(database_, fmt::format("SELECT {} FROM m ORDER BY id", filter.sqlite));
  if (select == nullptr) return Error();
  for (size_t i = 0; i < filter.parameters.size(); ++i) {
    Bind(select.get(), static_cast<int>(i) + 1, filter.parameters[i]);
  }
  std::vector<SqlTruth> truths;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(select.get())) == SQLITE_ROW) {
    if (sqlite3_column_type(select.get(), 0) == SQLITE_NULL) {
      truths.push_back(SqlTruth::kUnknown);
    } else {
      truths.push_back(sqlite3_column_int(select.get(), 0) != 0 ? SqlTruth::kTrue
                                                                : SqlTruth::kFalse);
    }
  }
  if (code != SQLITE_DONE) return Error();
  return truths;
}

}  // namespace dunlin::broker
