// The store and the rules keep the same book of epochs: what one forgets, the other must not count
// on.

#include "services/replicator/driver/stored_history.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {
namespace {

// A log of which only the length and the epochs matter, kept by both.
struct Log {
  store::Epochs stored;
  EpochHistory ruled;
  LogOffset end;

  void Begin(Epoch epoch) {
    stored.Begin(epoch, end);
    ruled.Begin(epoch, end);
  }
  void TruncateTo(EpochHistory::CommonPoint to) {
    stored.TruncateTo({to.epoch, to.offset});
    ruled.TruncateTo(to);
    end = to.offset;
  }
  void LosePower(LogOffset left) {
    stored.CutAt(left);
    ruled.CutAt(left);
    end = left;
  }
};

class StoredHistoryTest : public ::testing::TestWithParam<uint32_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, StoredHistoryTest, ::testing::Range(1u, 41u));

// Masters in ascending epochs, many of which write nothing; others follow them, for a while.
TEST_P(StoredHistoryTest, IsWhatTheRulesSay) {
  std::mt19937 random(GetParam());
  const auto below = [&](uint64_t limit) { return random() % limit; };
  TempDir directory;
  const std::string path = directory.path() + "/epochs";
  Log logs[3];
  for (uint32_t epoch = 1; epoch < 200; ++epoch) {
    Log& master = logs[below(3)];
    master.Begin(Epoch(epoch));
    if (below(2) == 0) master.end += below(4) * 8;
    for (Log& slave : logs) {
      if (&slave == &master || below(2) == 0) continue;
      const auto common =
          EpochHistory::LastCommon(master.ruled, master.end, slave.ruled, slave.end);
      const EpochHistory::CommonPoint to =
          common.value_or(EpochHistory::CommonPoint{Epoch(0), LogOffset(0)});
      slave.TruncateTo(to);
      for (const EpochHistory::Entry& entry : master.ruled.entries()) {
        if (entry.epoch <= to.epoch || below(8) == 0) continue;
        slave.end = entry.start;
        slave.Begin(entry.epoch);
      }
      slave.end = std::max(slave.end, master.end - below(2) * (master.end - slave.end));
    }
    Log& other = logs[below(3)];
    if (below(5) == 0) other.LosePower(LogOffset(other.end.value() - other.end.value() % 24));
    for (Log& log : logs) {
      ASSERT_EQ(HistoryOf(log.stored).ToString(), log.ruled.ToString());
      if (epoch < 199 || GetParam() > 4) continue;  // a disk takes its time
      ASSERT_OK(log.stored.Save(RealFiles(), path));
      const auto loaded = store::Epochs::Load(RealFiles(), path);
      ASSERT_OK(loaded);
      ASSERT_EQ(HistoryOf(*loaded).ToString(), log.ruled.ToString());
    }
  }
}

// What goes is what nobody can have in common with this log any more.
TEST(StoredHistory, ExpiredEpochsGoButNotThoseThatBeginAtTheStart) {
  store::Epochs epochs;
  for (const uint32_t epoch : {1u, 2u, 3u, 4u}) epochs.Begin(Epoch(epoch), LogOffset(80));
  epochs.Begin(Epoch(5), LogOffset(160));
  epochs.Prune(LogOffset(80));
  EXPECT_EQ(HistoryOf(epochs).ToString(), "1@80 2@80 3@80 4@80 5@160");
  epochs.Prune(LogOffset(88));
  EXPECT_EQ(HistoryOf(epochs).ToString(), "4@80 5@160");
  epochs.Prune(LogOffset(160));
  EXPECT_EQ(HistoryOf(epochs).ToString(), "5@160");
}

TEST(StoredHistory, ALoneWriterKeepsNoEpochInWhichItWroteNothing) {
  store::Epochs epochs;
  epochs.Begin(Epoch(1), LogOffset(0));
  epochs.Begin(Epoch(2), LogOffset(80));
  epochs.DropEmpty(LogOffset(80));
  epochs.Begin(Epoch(3), LogOffset(80));
  EXPECT_EQ(HistoryOf(epochs).ToString(), "1@0 3@80");
}

}  // namespace
}  // namespace dunlin::replicator
