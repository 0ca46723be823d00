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

TEST_F(MemberSlaveTest, SaysThatItStopsAndKnowsWhenNobodyWaitsForIt) {
  BeSlave(Mode::kSync, Flush::kSync, 80);
  See(View(5, "b", {"a", "b", "c"}, "b"));
  EXPECT_FALSE(member().IsWaitedFor()) << "it does not follow yet";
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(100)}), now());
  EXPECT_FALSE(member().ack(1).value().leaving);
  member().Leave();
  EXPECT_TRUE(member().ack(1).value().leaving);
  EXPECT_TRUE(member().IsWaitedFor());
  See(View(5, "b", {"b", "c"}, "b"));
  EXPECT_FALSE(member().IsWaitedFor());
  See(View(5, "b", {"a", "b"}, "b"));
  EXPECT_FALSE(member().IsWaitedFor()) << "the master cannot do without it";
  See(View(5, "b", {"a", "b"}));
  Pass(seconds(5));
  EXPECT_FALSE(Take<action::Elect>().has_value());
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

// Its master was gone before the first frame, and the next one still has what had expired there.
TEST_F(MemberSlaveTest, OneThatWasEmptiedBeginsAnewWhereverTheNextMasterDoes) {
  BeSlave(Mode::kQuorum, Flush::kSync, 80);
  member().OnStreamStart(1, Start(std::nullopt, 500), now());
  ASSERT_TRUE(Take<action::Reset>().has_value());
  log_ = {.start = LogOffset(500), .end = LogOffset(500), .flushed = LogOffset(500), .history = {}};
  member().OnLog(log_, now());
  member().OnMirrorReady(1, now());
  See(View(6, "c", {"a", "b", "c"}, "c"));
  StreamStart start = Start(std::nullopt, 20);
  start.epoch = Epoch(6);
  member().OnStreamStart(2, start, now());
  const auto reset = Take<action::Reset>();
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(LogOffset(20), reset->start);
  EXPECT_FALSE(reset->discards_confirmed);
}

// Also when its epochs look like the group's: both number them from 1.
TEST_F(MemberSlaveTest, ALogThatWasNeverTheGroupsIsLeftAlone) {
  for (const std::optional<Epoch> promise : {std::optional<Epoch>(), std::optional(Epoch(0))}) {
    for (const std::optional<Point> common :
         {std::optional<Point>(), std::optional(Point{Epoch(4), LogOffset(40)}),
          std::optional(Point{Epoch(4), LogOffset(100)})}) {
      Make(Options(Mode::kSync, Flush::kSync), {.log = Log({{Epoch(4), LogOffset(0)}}, 100),
                                                .promise = promise,
                                                .confirmed = LogOffset(0),
                                                .of_group = false,
                                                .seen = Epoch(0)});
      See(View(5, "b", {"a", "b"}, "b"));
      EXPECT_TRUE(member().hello().history.empty());
      EXPECT_EQ(Epoch(5), member().hello().highest_epoch);
      member().OnStreamStart(1, Start(common, 0), now());
      EXPECT_FALSE(Take<action::Reset>().has_value());
      EXPECT_FALSE(Take<action::Truncate>().has_value());
      EXPECT_EQ(absl::StatusCode::kFailedPrecondition,
                Take<action::DropStream>().value().why.code());
      EXPECT_FALSE(member().ack(1).has_value());
      // Nor is it ever elected over what the group has written since.
      See(LeaseGone());
      Pass(seconds(10));
      EXPECT_FALSE(Take<action::Elect>().has_value());
    }
  }
}

// It was emptied for the group's log, or began empty, and ended before it had caught up.
TEST_F(MemberSlaveTest, AStoreThatWasBegunForTheGroupGoesOn) {
  Make(Options(Mode::kSync, Flush::kSync), {.log = Log({{Epoch(4), LogOffset(0)}}, 100),
                                            .promise = std::nullopt,
                                            .confirmed = LogOffset(0),
                                            .of_group = true,
                                            .seen = Epoch(0)});
  See(View(5, "b", {"a", "b"}, "b"));
  EXPECT_EQ("4@0", member().hello().history.ToString());
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(90)}), now());
  EXPECT_EQ((Point{Epoch(4), LogOffset(90)}), Take<action::Truncate>().value().to);
}

TEST_F(MemberSlaveTest, AnEmptyStoreThatHadEpochsOfItsOwnIsBegunAnew) {
  Make(Options(Mode::kQuorum), {.log = Log({{Epoch(70), LogOffset(0)}}, 0),
                                .promise = Epoch(0),
                                .confirmed = LogOffset(0),
                                .of_group = false,
                                .seen = Epoch(0)});
  EXPECT_EQ(LogPosition{}, member().peer_state().position) << "less than any log of the group";
  See(View(5, "b", {"a", "b"}, "b"));
  EXPECT_EQ(Epoch(5), member().hello().highest_epoch);
  member().OnStreamStart(1, Start(std::nullopt, 0), now());
  EXPECT_TRUE(Take<action::Reset>().has_value());
  log_ = Log({}, 0);
  member().OnLog(log_, now());
  member().OnMirrorReady(1, now());
  EXPECT_TRUE(member().OnFrame(1, LogOffset(0), LogOffset(0), now()).ok());
}

TEST_F(MemberSlaveTest, NothingIsTakenOfWhatAFormerLifeOfTheStoreRefused) {
  Make(Options(Mode::kQuorum), {.log = LogState{},
                                .promise = std::nullopt,
                                .confirmed = LogOffset(0),
                                .of_group = true,
                                .seen = Epoch(6)});
  See(View(5, "b", {"a", "b"}, "b"));
  EXPECT_EQ(Epoch(6), member().hello().highest_epoch);
  member().OnStreamStart(1, Start(std::nullopt, 0), now());
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
  EXPECT_TRUE(Take<action::Reset>().has_value()) << "marks it as the group's";
  EXPECT_FALSE(member().OnFrame(1, LogOffset(50), LogOffset(0), now()).ok());
  member().OnMirrorReady(1, now());
  ASSERT_TRUE(member().OnFrame(1, LogOffset(50), LogOffset(0), now()).ok());
  log_.history.Begin(Epoch(5), LogOffset(0));
  Append(40);
  EXPECT_FALSE(Take<action::PersistPromise>().has_value());
  Append(10);
  EXPECT_EQ(Epoch(5), Take<action::PersistPromise>().value().epoch);
}

// Recovery found what had been on disk damaged: until it is fetched anew the member is as one that
// is new to the group, for others may count on what it acknowledged.
TEST_F(MemberSlaveTest, DamageIsFetchedAnewBeforeAnythingIsAcknowledged) {
  for (const Mode mode : {Mode::kSync, Mode::kQuorum}) {
    LogState log = Log({{Epoch(3), LogOffset(0)}, {Epoch(4), LogOffset(30)}}, 100);
    log.damaged = LogOffset(40);
    Make(Options(mode, Flush::kSync), log, Epoch(6), LogOffset(80));
    See(View(6, "b", {"a", "b", "c"}, "b"));
    StreamStart start = Start(Point{Epoch(4), LogOffset(100)});
    start.epoch = Epoch(6);
    member().OnStreamStart(1, start, now());
    const auto repair = Take<action::Repair>();
    ASSERT_TRUE(repair.has_value());
    EXPECT_EQ((Point{Epoch(4), LogOffset(40)}), repair->to);
    EXPECT_EQ(Epoch(6), repair->seen);
    EXPECT_TRUE(Take<action::DropStream>().has_value());
    EXPECT_FALSE(member().ack(1).has_value());
    EXPECT_EQ(LogOffset(40), page().replicated);
    log_ = Log({{Epoch(3), LogOffset(0)}, {Epoch(4), LogOffset(30)}}, 40);
    member().OnLog(log_, now());
    // It may not be elected, nor help others, before it has everything again.
    const GroupView held = view_;
    See(LeaseGone());
    Pass(seconds(10));
    EXPECT_FALSE(Take<action::Elect>().has_value());
    EXPECT_FALSE(Take<action::AskPromises>().has_value());
    member().OnPromiseAsked(7, "c", Epoch(9), now());
    EXPECT_FALSE(Take<action::AnswerPromise>().value().answer.granted);
    GroupView again = held;
    again.revision = view_.revision + 1;
    See(again);
    start.common = Point{Epoch(4), LogOffset(40)};
    member().OnStreamStart(2, start, now());
    EXPECT_FALSE(Take<action::Truncate>().has_value());
    ASSERT_TRUE(member().OnFrame(2, LogOffset(90), LogOffset(0), now()).ok());
    EXPECT_FALSE(Take<action::PersistPromise>().has_value());
    log_.history.Begin(Epoch(6), LogOffset(100));
    Append(60);
    EXPECT_EQ(Epoch(6), Take<action::PersistPromise>().value().epoch);
  }
}

TEST_F(MemberSlaveTest, OfADamagedLogNothingIsElectedOrPromised) {
  LogState log = Log({{Epoch(4), LogOffset(0)}}, 100);
  log.damaged = LogOffset(40);
  for (const Mode mode : {Mode::kSync, Mode::kQuorum}) {
    Make(Options(mode, Flush::kSync), log, Epoch(4), LogOffset(80));
    See(View(4, "b", {"a", "b", "c"}));
    Pass(seconds(10));
    EXPECT_FALSE(Take<action::Elect>().has_value());
    EXPECT_FALSE(Take<action::AskPromises>().has_value());
    EXPECT_NE(std::string::npos, member().Describe().find("damaged at 40")) << member().Describe();
    member().OnPromiseAsked(7, "c", Epoch(9), now());
    EXPECT_FALSE(Take<action::AnswerPromise>().value().answer.granted);
  }
  // What the new master does not have goes anyway.
  Make(Options(Mode::kQuorum, Flush::kSync), log, Epoch(4), LogOffset(20));
  See(View(5, "b", {"a", "b", "c"}, "b"));
  member().OnStreamStart(1, Start(Point{Epoch(4), LogOffset(40)}), now());
  EXPECT_FALSE(Take<action::Repair>().has_value());
  EXPECT_TRUE(Take<action::Truncate>().has_value());
}

TEST_F(MemberSlaveTest, OneWhoseLogHasFailedFollowsNobody) {
  BeSlave(Mode::kQuorum, Flush::kSync, 80);
  member().OnLogFailed(absl::DataLossError("EIO"), now());
  EXPECT_TRUE(Take<action::StopFollowing>().has_value());
  See(View(6, "c", {"a", "b", "c"}, "c"));
  EXPECT_FALSE(Take<action::Follow>().has_value());
  Pass(seconds(10));
  EXPECT_TRUE(member().TakeActions().empty());
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
