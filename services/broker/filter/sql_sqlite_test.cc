// SQL filters against SQLite, as many as a unit test may take; `./dev bench filters` takes more.
//
// What the languages have in common is compared: structure, precedence, three-valued logic, the
// comparisons of numbers with numbers, texts with texts and truths with truths, BETWEEN, IN, IS
// NULL, searches in texts. Where they differ by design, in how a text becomes a number or a truth,
// every comparison is made with a column of the type that the filter's rules call for; the rules
// themselves are the business of sql_filter_test.cc and sql_number_test.cc.

#include <gtest/gtest.h>

#include <random>

#include "services/base/testing/status_matchers.h"
#include "services/broker/filter/testing/differential.h"

namespace dunlin::broker {
namespace {

TEST(SqlSqliteTest, BothSayTheSame) {
  const uint64_t seed = std::random_device()();
  Compared compared;
  EXPECT_OK(CompareWithSqlite(seed, 100'000, compared, [](const Compared&) {})) << "seed " << seed;
  // Each truth value has its share, or little was shown.
  for (const uint64_t share : {compared.trues, compared.falses, compared.unknowns}) {
    EXPECT_GT(share, compared.checks() / 20) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dunlin::broker
