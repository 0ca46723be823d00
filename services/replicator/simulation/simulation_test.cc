// Groups of three members, and of members that come and go, under faults, over many seeds; and
// that mistakes are found.
//
// A seed that fails: bazel run //services/replicator/simulation:simulate -- --seed=SEED
#include "services/replicator/simulation/simulation.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace dunlin::replicator::simulation {
namespace {

std::string LastOf(const SimulationResult& result, size_t lines) {
  std::string text;
  const size_t size = result.trace.size();
  for (size_t i = size > lines ? size - lines : 0; i < size; ++i) text += result.trace[i] + "\n";
  return text;
}

class SeedsTest : public testing::TestWithParam<uint64_t> {};

constexpr uint64_t kSeedsOfShard = 100;
constexpr uint64_t kSeedsOfBug = 1000;  // most are found by the first few

TEST_P(SeedsTest, KeepWhatTheModesPromise) {
  uint64_t acknowledged = 0;
  uint64_t elections = 0;
  uint64_t begun_anew = 0;
  uint64_t by_pledges = 0;
  uint64_t members = 0;
  for (uint64_t i = 0; i < kSeedsOfShard; ++i) {
    const SimulationOptions options = OptionsOf(GetParam() * kSeedsOfShard + i);
    const SimulationResult result = Simulate(options);
    ASSERT_TRUE(result.ok()) << ToString(options) << ": " << result.violation << "\n"
                             << LastOf(result, 80);
    acknowledged += result.acknowledged;
    elections += result.elections;
    begun_anew += result.begun_anew;
    by_pledges += result.by_pledges;
    members += result.members;
  }
  // A run in which nothing happens proves nothing.
  EXPECT_GT(acknowledged, kSeedsOfShard * 100);
  EXPECT_GT(elections, kSeedsOfShard * 2);
  EXPECT_GT(begun_anew, kSeedsOfShard / 10);
  EXPECT_GT(by_pledges, kSeedsOfShard);
  EXPECT_GT(members, kSeedsOfShard / 2 * 5);
}

INSTANTIATE_TEST_SUITE_P(All, SeedsTest, testing::Range(uint64_t{0}, uint64_t{20}));

TEST(Simulation, ASeedGivesTheSameRunEachTime) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const SimulationResult one = Simulate(OptionsOf(seed));
    const SimulationResult two = Simulate(OptionsOf(seed));
    EXPECT_EQ(one.trace, two.trace);
    EXPECT_EQ(one.trace_hash, two.trace_hash);
  }
  EXPECT_NE(Simulate(OptionsOf(1)).trace_hash, Simulate(OptionsOf(6)).trace_hash);
}

struct Planted {
  const char* name;
  Bug bug;
  Mode mode;
  Flush flush;
  bool members_change = false;
};

class PlantedBugTest : public testing::TestWithParam<Planted> {};

TEST_P(PlantedBugTest, IsFound) {
  for (uint64_t seed = 0; seed < kSeedsOfBug; ++seed) {
    const SimulationResult result = Simulate({.seed = seed,
                                              .mode = GetParam().mode,
                                              .flush = GetParam().flush,
                                              .bug = GetParam().bug,
                                              .members_change = GetParam().members_change});
    if (!result.ok()) {
      RecordProperty("found_by_seed", std::to_string(seed));
      RecordProperty("violation", result.violation);
      return;
    }
  }
  FAIL() << kSeedsOfBug << " seeds do not find it";
}

INSTANTIATE_TEST_SUITE_P(
    All, PlantedBugTest,
    testing::Values(
        Planted{"AckWithoutLease", Bug::kAckWithoutLease, Mode::kAsync, Flush::kSync},
        Planted{"AckBeforeFlush", Bug::kAckBeforeFlush, Mode::kSync, Flush::kSync},
        Planted{"AckBeforeFlushQuorum", Bug::kAckBeforeFlush, Mode::kQuorum, Flush::kSync},
        Planted{"KeepDivergedTail", Bug::kKeepDivergedTail, Mode::kSync, Flush::kSync},
        Planted{"ElectOutsideInSync", Bug::kElectOutsideInSync, Mode::kSync, Flush::kSync},
        Planted{"ShrinkWithoutCas", Bug::kShrinkWithoutCas, Mode::kSync, Flush::kSync},
        Planted{"LieInPromise", Bug::kLieInPromise, Mode::kQuorum, Flush::kSync},
        Planted{"ForgetEpochs", Bug::kForgetEpochs, Mode::kQuorum, Flush::kAsync},
        Planted{"OnePledgeIsEnough", Bug::kOnePledgeIsEnough, Mode::kAsync, Flush::kSync},
        Planted{"PledgeFromAnswer", Bug::kPledgeFromAnswer, Mode::kAsync, Flush::kSync},
        Planted{"RestartForgetsPledge", Bug::kRestartForgetsPledge, Mode::kAsync, Flush::kSync},
        Planted{"ConfirmWhatIsReceived", Bug::kConfirmWhatIsReceived, Mode::kSync, Flush::kSync},
        Planted{"ChangeTwoAtOnce", Bug::kChangeTwoAtOnce, Mode::kQuorum, Flush::kSync, true},
        Planted{"ChangeUncommitted", Bug::kChangeUncommitted, Mode::kQuorum, Flush::kSync, true}),
    [](const auto& planted) { return std::string(planted.param.name); });

}  // namespace
}  // namespace dunlin::replicator::simulation
