// How a slave makes its log its master's, and what it refuses.
#include <chrono>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::seconds;
using Point = EpochHistory::CommonPoint;

class MemberSlaveTest : public MemberFixture {
 protected:
  // Slave of b, master of epoch 5; its own log has 100 bytes of epoch 4, `confirmed` of them
  // confirmed.
  void BeSlave(Mode mode, Flush flush, uint64_t confirmed,
               std::optional<Epoch> promise = Epoch(0)) {
    Make(Options(mode, flush), Log({{Epoch(4), LogOffset(0)}}, 100), promise, LogOffset(confirmed));
    See(View(5, "b", {"a", "b"}, "b"));
    ASSERT_TRUE(Take<action::Follow>().has_value());
  }
  static StreamStart Start(std::optional<Point> common, uint64_t start = 0) {
    return {
        .epoch = Epoch(5), .common = common, .start = LogOffset(start), .unclean_epoch = Epoch(0)};
  }
};

TEST_F(MemberSlaveTest, ALogThatIsAPrefixIsFollowedAtOnce) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(100)}), now());
  EXPECT_FALSE(Take<action::Truncate>().has_value());
  EXPECT_EQ(LogOffset(100), member().ack(1).value().received);
}

TEST_F(MemberSlaveTest, TruncatesBeforeItAcknowledgesAnything) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(90)}), now());
  const auto truncate = Take<action::Truncate>();
  ASSERT_TRUE(truncate.has_value());
  EXPECT_EQ((Point{Epoch(4), LogOffset(90)}), truncate->to);
  EXPECT_FALSE(truncate->discards_confirmed);
  EXPECT_FALSE(member().ack(1).has_value());
  EXPECT_FALSE(member().OnFrame(1, LogOffset(90), LogOffset(0), now()).ok());
  log_ = Log({{Epoch(4), LogOffset(0)}}, 90);
  member().OnLog(log_, now());
  member().OnMirrorReady(1, now());
  EXPECT_EQ(LogOffset(90), member().ack(1).value().received);
  EXPECT_TRUE(member().OnFrame(1, LogOffset(90), LogOffset(0), now()).ok());
}

TEST_F(MemberSlaveTest, NeverTruncatesWhatIsConfirmed) {
  BeSlave(Mode::kSync, Flush::kSync, 95);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(90)}), now());
  EXPECT_FALSE(Take<action::Truncate>().has_value());
  EXPECT_EQ(absl::StatusCode::kDataLoss, Take<action::DropStream>().value().why.code());
}

TEST_F(MemberSlaveTest, UnlessTheModeOrAnOperatorAllowsIt) {
  struct Case {
    Mode mode;
    Flush flush;
    uint32_t unclean_epoch;
    bool allowed;
  };
  for (const Case& c :
       {Case{Mode::kAsync, Flush::kSync, 0, true}, Case{Mode::kSync, Flush::kAsync, 0, true},
        Case{Mode::kQuorum, Flush::kSync, 0, false}, Case{Mode::kSync, Flush::kSync, 5, true},
        Case{Mode::kSync, Flush::kSync, 4, false},     // it has seen that already
        Case{Mode::kSync, Flush::kSync, 6, false}}) {  // not of this master
    BeSlave(c.mode, c.flush, 95);
    StreamStart start = Start(Point{Epoch(4), LogOffset(90)});
    start.unclean_epoch = Epoch(c.unclean_epoch);
    member().OnStreamStart(1, start, now());
    const auto truncate = Take<action::Truncate>();
    EXPECT_EQ(c.allowed, truncate.has_value());
    if (truncate.has_value()) EXPECT_TRUE(truncate->discards_confirmed);
  }
}

TEST_F(MemberSlaveTest, WithNothingInCommonItBeginsAnew) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(std::nullopt, 500), now());
  const auto reset = Take<action::Reset>();
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(LogOffset(500), reset->start);
  EXPECT_FALSE(reset->discards_confirmed) << "the master had it and let it expire";
  EXPECT_EQ(LogOffset(500), page().master_start);
}

TEST_F(MemberSlaveTest, ALogThatWasNeverTheGroupsIsLeftAlone) {
  BeSlave(Mode::kSync, Flush::kSync, 0, std::nullopt);
  member().OnStreamStart(1, Start(std::nullopt, 0), now());
  EXPECT_FALSE(Take<action::Reset>().has_value());
  EXPECT_TRUE(Take<action::DropStream>().has_value());
}

TEST_F(MemberSlaveTest, AMasterOfAnOlderEpochIsRefused) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  StreamStart old = Start(Point{Epoch(4), LogOffset(100)});
  old.epoch = Epoch(4);
  member().OnStreamStart(1, old, now());
  EXPECT_EQ(1u, Take<action::DropStream>().value().stream);
  EXPECT_FALSE(member().ack(1).has_value());
}

TEST_F(MemberSlaveTest, FramesAreRefusedOnceAHigherEpochIsSeen) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(100)}), now());
  EXPECT_TRUE(member().OnFrame(1, LogOffset(90), LogOffset(0), now()).ok());
  See(View(6, "c", {"a", "c"}, "c"));
  EXPECT_FALSE(member().OnFrame(1, LogOffset(100), LogOffset(0), now()).ok());
  EXPECT_FALSE(member().ack(1).has_value());
  EXPECT_EQ(LogOffset(90), member().confirm());
}

TEST_F(MemberSlaveTest, ConfirmIsTheMastersAsFarAsTheOwnLogGoes) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(100)}), now());
  ASSERT_TRUE(member().OnFrame(1, LogOffset(140), LogOffset(0), now()).ok());
  EXPECT_EQ(LogOffset(100), page().replicated);
  Append(50);
  EXPECT_EQ(LogOffset(140), page().replicated);
}

TEST_F(MemberSlaveTest, ANewStoreBelongsToTheGroupOnceItHasCaughtUp) {
  Make(Options(Mode::kQuorum), LogState{}, std::nullopt);
  See(View(5, "b", {"a", "b", "c"}, "b"));
  member().OnStreamStart(1, Start(std::nullopt, 0), now());
  EXPECT_FALSE(Take<action::Reset>().has_value()) << "there is nothing to throw away";
  ASSERT_TRUE(member().OnFrame(1, LogOffset(50), LogOffset(0), now()).ok());
  log_.history.Begin(Epoch(5), LogOffset(0));
  Append(40);
  EXPECT_FALSE(Take<action::PersistPromise>().has_value());
  Append(10);
  EXPECT_EQ(Epoch(5), Take<action::PersistPromise>().value().epoch);
}

TEST_F(MemberSlaveTest, StaysReadableWithoutAMaster) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(100)}), now());
  member().OnStreamBroken(1, now());
  Pass(seconds(100));
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_EQ(LogOffset(80), page().replicated);
}

}  // namespace
}  // namespace dunlin::replicator
