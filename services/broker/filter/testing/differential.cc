#include "services/broker/filter/testing/differential.h"

#include <fmt/format.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/filter/testing/random_filter.h"
#include "services/broker/filter/testing/sqlite_messages.h"
#include "services/broker/wire/testing/random_message.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

constexpr size_t kMessagesAtATime = 100;
constexpr uint64_t kFiltersPerMessages = 500;

std::string_view NameOf(SqlTruth truth) {
  return truth == SqlTruth::kTrue ? "TRUE" : truth == SqlTruth::kFalse ? "FALSE" : "UNKNOWN";
}

class Comparison {
 public:
  Comparison(std::mt19937_64& random, Compared& compared) : random_(random), compared_(compared) {}

  absl::Status Fill(SqliteMessages& sqlite) {
    samples_.clear();
    stored_.clear();
    while (samples_.size() < kMessagesAtATime) {
      samples_.push_back(RandomSampleMessage(random_));
      stored_.push_back(Store(samples_.back().message));
    }
    return sqlite.Fill(samples_);
  }

  absl::Status Compare(const SqliteMessages& sqlite) {
    const SampleFilter sample = RandomSampleFilter(random_);
    const auto filter = SqlFilter::Parse(sample.filter);
    const auto message_filter = MessageFilter::Sql(sample.filter);
    if (!filter.ok() || !message_filter.ok()) {
      return absl::InternalError(
          fmt::format("{}: {}", sample.filter, FromAbsl(filter.status().message())));
    }
    ASSIGN_OR_RETURN(const std::vector<SqlTruth> expected, sqlite.Evaluate(sample));
    ++compared_.filters;
    const SqlProperties properties(filter->properties());
    for (size_t i = 0; i < stored_.size(); ++i) {
      SqlValues values(filter->properties().size());
      size_t searched = 0;
      const bool read =
          properties.Read(stored_[i].payload, stored_[i].properties_offset, values, searched);
      const SqlTruth truth = filter->Evaluate(values, searched);
      Count(truth);
      const bool passes =
          message_filter->Matches(stored_[i].payload, stored_[i].properties_offset, searched);
      const bool may_pass =
          message_filter->MayMatch(store::TagHash(samples_[i].message.system_properties().tag()));
      const bool should_pass = expected[i] == SqlTruth::kTrue;
      if (read && truth == expected[i] && passes == should_pass && may_pass >= should_pass) {
        continue;
      }
      return absl::InternalError(fmt::format(
          "the filter {} is {} of the message {} (passes: {}, by the hash of its tag: {}); SQLite "
          "says {} to {}",
          sample.filter, NameOf(truth), samples_[i].message.ShortDebugString(), passes, may_pass,
          NameOf(expected[i]), sample.sqlite));
    }
    return absl::OkStatus();
  }

 private:
  void Count(SqlTruth truth) {
    if (truth == SqlTruth::kTrue) ++compared_.trues;
    if (truth == SqlTruth::kFalse) ++compared_.falses;
    if (truth == SqlTruth::kUnknown) ++compared_.unknowns;
  }

  std::mt19937_64& random_;
  Compared& compared_;
  std::vector<SampleMessage> samples_;
  std::vector<Stored> stored_;
};

}  // namespace

absl::Status CompareWithSqlite(uint64_t seed, uint64_t checks, Compared& compared,
                               const std::function<void(const Compared&)>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteMessages> sqlite, SqliteMessages::Open());
  std::mt19937_64 random(seed);
  Comparison comparison(random, compared);
  while (compared.checks() < checks) {
    if (compared.filters % kFiltersPerMessages == 0) {
      RETURN_IF_ERROR(comparison.Fill(*sqlite));
      progress(compared);
    }
    RETURN_IF_ERROR(comparison.Compare(*sqlite));
  }
  return absl::OkStatus();
}

}  // namespace dunlin::broker
