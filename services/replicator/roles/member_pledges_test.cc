// A master whose coordinator does not answer, and those who hold back for it.
#include <algorithm>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PledgingMasterTest : public MemberFixture {
 protected:
  static constexpr Duration kOwnCount = kTtl - kTtl / 8;

  // "a" is master of epoch 2, b and c have everything, and the lease counts from now.
  void MakeMaster(Mode mode = Mode::kSync) {
    Make(Options(mode), Log({{Epoch(1), LogOffset(0)}}, 100));
    See(View(1, "b", {"a", "b", "c"}));
    if (mode == Mode::kQuorum) {
      Pass(milliseconds(300));
      const auto persist = Take<action::PersistPromise>();
      ASSERT_TRUE(persist.has_value());
      member().OnPromisePersisted(persist->epoch, now());
      member().OnPromiseAnswer(
          "b", {.granted = true, .epoch = persist->epoch, .position = {}, .reason = ""}, now());
      const auto elect = Take<action::Elect>();
      ASSERT_TRUE(elect.has_value());
      Accept(*elect);
      Begin(2);
    } else {
      Win();
    }
    Join(1, "b");
    Join(2, "c");
    if (auto update = Take<action::Update>(); update.has_value()) Accept(*update);
    ASSERT_EQ(page().accepting, Accepting::kYes);
    elected_at_ = now();
  }

  // Meanwhile the slaves go on to acknowledge.
  void PassTo(Duration since_elected) {
    const Instant end = elected_at_ + since_elected;
    while (now() < end) {
      Pass(std::min<Duration>(end - now(), milliseconds(500)));
      AckAll(1);
      AckAll(2);
    }
  }

  void Pledge(const MemberName& peer, Instant sent, bool granted = true) {
    member().OnPledgeAnswer(peer, Epoch(2), {.granted = granted, .reason = ""}, sent, now());
  }
  void PledgeAll() {
    Pledge("b", now());
    Pledge("c", now());
  }

  void LoseCoordinator() {
    ASSERT_TRUE(Take<action::KeepAlive>().has_value());
    member().OnKeptAlive(Result(absl::UnavailableError("away")), now());
  }

  // Past the end of the lease, by pledges; a renewal is under way.
  void GoOnByPledges() {
    PassTo(kOwnCount - milliseconds(300));
    LoseCoordinator();
    PledgeAll();
    PassTo(kOwnCount + milliseconds(100));
    ASSERT_TRUE(member().GoesOnByPledges());
    ASSERT_EQ(page().accepting, Accepting::kYes);
    Take<action::KeepAlive>();
  }

  Instant elected_at_;
};

TEST_F(PledgingMasterTest, NobodyIsAskedWhileTheLeaseIsRenewed) {
  MakeMaster();
  PassTo(kOwnCount - kPledgeLead - milliseconds(10));
  EXPECT_FALSE(Take<action::AskPledges>().has_value());
  ASSERT_TRUE(Take<action::KeepAlive>().has_value());
  member().OnKeptAlive(Result(absl::OkStatus()), now());
  Pass(milliseconds(20));
  EXPECT_FALSE(Take<action::AskPledges>().has_value());
}

TEST_F(PledgingMasterTest, AllAreAskedBeforeTheLeaseIsOverAndAgain) {
  MakeMaster();
  PassTo(kOwnCount - kPledgeLead);
  const auto ask = Take<action::AskPledges>();
  ASSERT_TRUE(ask.has_value());
  EXPECT_EQ(ask->epoch, Epoch(2));
  EXPECT_EQ(ask->time, kPledgeTime);
  EXPECT_LE(member().wake_at(), now() + kPledgeInterval);
  Pass(kPledgeInterval - milliseconds(1));
  EXPECT_FALSE(Take<action::AskPledges>().has_value());
  Pass(milliseconds(1));
  EXPECT_TRUE(Take<action::AskPledges>().has_value());
}

TEST_F(PledgingMasterTest, GoesOnWhileAllPledge) {
  for (const Mode mode : {Mode::kAsync, Mode::kSync, Mode::kQuorum}) {
    MakeMaster(mode);
    GoOnByPledges();
    EXPECT_NE(member().Describe().find("goes on by the pledges"), std::string::npos);
    for (int i = 0; i < 100; ++i) {
      Pass(kPledgeInterval);
      AckAll(1);
      AckAll(2);
      EXPECT_TRUE(Take<action::AskPledges>().has_value());
      EXPECT_EQ(page().accepting, Accepting::kYes);
      EXPECT_GT(page().lease_until, now());
      PledgeAll();
    }
  }
}

TEST_F(PledgingMasterTest, OnePledgeIsNotEnough) {
  MakeMaster();
  PassTo(kOwnCount - milliseconds(1));
  Pledge("b", now());
  EXPECT_EQ(page().accepting, Accepting::kYes);
  EXPECT_EQ(member().pledges().MissingAt(now()), std::set<MemberName>{"c"});
  Pass(milliseconds(1));
  EXPECT_EQ(page().accepting, Accepting::kLeaseOver);
  // All that comes late is as good.
  Pledge("c", now());
  EXPECT_EQ(page().accepting, Accepting::kYes);
}

TEST_F(PledgingMasterTest, CountsFromBeforeItAskedAndLessAnEighth) {
  MakeMaster();
  PassTo(kOwnCount + milliseconds(500));
  Pledge("b", now());
  Pledge("c", now() - milliseconds(400));
  EXPECT_EQ(page().lease_until, now() - milliseconds(400) + kPledgeTime * 7 / 8);
  // What is overtaken changes nothing.
  Pledge("c", now() - milliseconds(600));
  EXPECT_EQ(page().lease_until, now() - milliseconds(400) + kPledgeTime * 7 / 8);
  PassTo(kOwnCount + milliseconds(100) + kPledgeTime * 7 / 8);
  EXPECT_EQ(page().accepting, Accepting::kLeaseOver);
}

TEST_F(PledgingMasterTest, WhoRefusesTakesItsPledgeBack) {
  MakeMaster();
  GoOnByPledges();
  Pledge("c", now(), false);
  EXPECT_EQ(page().accepting, Accepting::kLeaseOver);
}

TEST_F(PledgingMasterTest, APledgeOfAnotherEpochCountsForNothing) {
  MakeMaster();
  PassTo(kOwnCount + milliseconds(1));
  for (const char* peer : {"b", "c"}) {
    member().OnPledgeAnswer(peer, Epoch(1), {.granted = true, .reason = ""}, now(), now());
  }
  EXPECT_EQ(page().accepting, Accepting::kLeaseOver);
}

TEST_F(PledgingMasterTest, NobodyElseNobodyToPledge) {
  MemberOptions alone = Options(Mode::kAsync);
  alone.members = {"a"};
  Make(alone, Log({}, 0));
  See({.revision = 1, .version = 0, .record = {}, .lease = {}});
  Win();
  Pass(kTtl);
  EXPECT_FALSE(Take<action::AskPledges>().has_value());
  EXPECT_EQ(page().accepting, Accepting::kLeaseOver);
}

TEST_F(PledgingMasterTest, TakesTheLeaseAgainAtItsEpoch) {
  MakeMaster();
  GoOnByPledges();
  See(LeaseGone());
  EXPECT_EQ(page().accepting, Accepting::kYes);
  // The renewal that is under way comes to its end first.
  EXPECT_FALSE(Take<action::Retake>().has_value());
  member().OnKeptAlive(Result(absl::AbortedError("gone")), now());
  EXPECT_FALSE(Take<action::Retake>().has_value());
  Pass(milliseconds(200));
  const auto retake = Take<action::Retake>();
  ASSERT_TRUE(retake.has_value());
  EXPECT_EQ(retake->version, view_.version);
  EXPECT_EQ(retake->record, *view_.record);
  // Nothing else is asked of the coordinator meanwhile.
  Pass(milliseconds(300));
  PledgeAll();
  EXPECT_FALSE(Take<action::KeepAlive>().has_value());
  EXPECT_FALSE(Take<action::Retake>().has_value());
  Coordinator::Result result = Result(absl::OkStatus());
  result.view = LeaseGone();
  result.view->version = view_.version + 1;
  result.view->lease = LeaseHolder{"a", Epoch(2)};
  member().OnRetaken(result, now());
  EXPECT_FALSE(member().GoesOnByPledges());
  EXPECT_EQ(page().lease_until, now() + kOwnCount);
  EXPECT_EQ(member().mastership()->in_sync().version(), view_.version + 1);
}

TEST_F(PledgingMasterTest, TriesAgainToTakeTheLease) {
  MakeMaster();
  GoOnByPledges();
  // The coordinator lets it go before the view says so.
  member().OnKeptAlive(Result(absl::AbortedError("gone")), now());
  EXPECT_EQ(page().accepting, Accepting::kYes);
  See(LeaseGone());
  ASSERT_TRUE(Take<action::Retake>().has_value());
  member().OnRetaken(Result(absl::UnavailableError("away")), now());
  EXPECT_FALSE(Take<action::Retake>().has_value());
  Pass(milliseconds(200));
  EXPECT_TRUE(Take<action::Retake>().has_value());
}

TEST_F(PledgingMasterTest, WithoutPledgesALeaseThatIsGoneEndsIt) {
  MakeMaster();
  PassTo(kTtl);
  Pledge("b", now());
  See(LeaseGone());
  EXPECT_EQ(member().mastership(), nullptr);
  EXPECT_FALSE(Take<action::Retake>().has_value());
}

TEST_F(PledgingMasterTest, ANewEpochEndsItWhateverIsPledged) {
  MakeMaster();
  GoOnByPledges();
  See(View(3, "b", {"b", "c"}, "b"));
  EXPECT_EQ(member().mastership(), nullptr);
  EXPECT_EQ(page().accepting, Accepting::kNotMaster);
}

TEST_F(PledgingMasterTest, TheInSyncSetStaysAsItIs) {
  MakeMaster();
  GoOnByPledges();
  Append(10);
  AckAll(1);
  member().OnSlaveGone(2, now());
  for (int i = 0; i < 8; ++i) {
    Pass(kPledgeInterval);
    PledgeAll();
  }
  EXPECT_EQ(page().accepting, Accepting::kYes);
  EXPECT_EQ(page().replicated, LogOffset(100));
  EXPECT_FALSE(Take<action::Update>().has_value());
}

TEST_F(PledgingMasterTest, DoesNotHandOverWithoutTheCoordinator) {
  MakeMaster();
  GoOnByPledges();
  EXPECT_EQ(member().SwitchOver("b", now()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(page().accepting, Accepting::kYes);
}

TEST_F(PledgingMasterTest, PromisesItsVoteToNobodyMeanwhile) {
  MakeMaster(Mode::kQuorum);
  GoOnByPledges();
  member().OnPromiseAsked(7, "c", Epoch(3), now());
  const auto answer = Take<action::AnswerPromise>();
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->answer.granted);
}

// "a" is a slave of b, master of epoch 5.
class PledgeTest : public MemberFixture {
 protected:
  void MakeSlave(Instant started = Instant()) {
    Make(Options(Mode::kSync), {.log = Log({{Epoch(5), LogOffset(0)}}, 100),
                                .promise = Epoch(0),
                                .confirmed = LogOffset(0),
                                .of_group = true,
                                .seen = Epoch(0),
                                .started = started});
    See(View(5, "b", {"a", "b", "c"}, "b"));
  }

  PledgeAnswer Ask(uint32_t epoch = 5, const MemberName& master = "b",
                   Duration time = kPledgeTime) {
    return member().OnPledgeAsked({master, Epoch(epoch), time}, now());
  }
};

TEST_F(PledgeTest, IsNotElectedUntilItIsOver) {
  MakeSlave();
  ASSERT_TRUE(Ask().granted);
  See(LeaseGone());
  Pass(kPledgeTime - milliseconds(1));
  EXPECT_FALSE(Take<action::AskPeers>().has_value());
  EXPECT_EQ(member().wake_at(), now() + milliseconds(1));
  EXPECT_NE(member().Describe().find("b goes on as master of epoch 5"), std::string::npos)
      << member().Describe();
  Pass(milliseconds(1));
  EXPECT_TRUE(Take<action::AskPeers>().has_value());
}

TEST_F(PledgeTest, EndsACandidacyThatHasNotBeenProposed) {
  MakeSlave();
  See(LeaseGone());
  Pass(milliseconds(10));
  ASSERT_TRUE(Take<action::AskPeers>().has_value());
  ASSERT_TRUE(Ask().granted);
  Pass(seconds(1));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(PledgeTest, WhoIsBeingElectedPledgesNothing) {
  MakeSlave();
  See(LeaseGone());
  Pass(milliseconds(300));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_FALSE(Ask().granted);
  Accept(*elect);
  EXPECT_FALSE(Ask().granted);
  Begin(6);
  EXPECT_FALSE(Ask().granted);
  EXPECT_NE(Ask().reason.find("master of epoch 6"), std::string::npos) << Ask().reason;
}

TEST_F(PledgeTest, WhatCannotBePledged) {
  MakeSlave();
  EXPECT_FALSE(Ask(4).granted);
  EXPECT_FALSE(Ask(5, "x").granted);
  EXPECT_FALSE(Ask(5, "a").granted);
  EXPECT_FALSE(Ask(5, "b", kPledgeTime + milliseconds(1)).granted);
  EXPECT_TRUE(Ask(6).granted);  // it may not have heard of that election
}

// It has let go before it wrote that.
TEST_F(PledgeTest, IsOverWhenItsMasterHandsOver) {
  MakeSlave(now());
  ASSERT_TRUE(Ask().granted);
  GroupView view = View(5, "b", {"a", "b", "c"});
  view.record->preferred = "a";
  See(view);
  Pass(milliseconds(1));
  EXPECT_TRUE(Take<action::Elect>().has_value()) << member().Describe();
}

TEST_F(PledgeTest, WhoWasStartedAnewHoldsBack) {
  MakeSlave(now());
  See(LeaseGone());
  Pass(kPledgeTime - milliseconds(1));
  EXPECT_FALSE(Take<action::AskPeers>().has_value());
  Pass(milliseconds(1));
  EXPECT_TRUE(Take<action::AskPeers>().has_value());
}

TEST_F(PledgeTest, WhoWasMasterWhenItEndedNeedNotHoldBack) {
  Make(Options(Mode::kSync), {.log = Log({{Epoch(5), LogOffset(0)}}, 100),
                              .promise = Epoch(0),
                              .confirmed = LogOffset(0),
                              .of_group = true,
                              .seen = Epoch(0),
                              .started = now()});
  See(View(5, "a", {"a", "b", "c"}));
  Pass(milliseconds(300));
  EXPECT_TRUE(Take<action::Elect>().has_value());
  // But who won and never began its epoch had time to pledge.
  Make(Options(Mode::kSync), {.log = Log({{Epoch(4), LogOffset(0)}}, 100),
                              .promise = Epoch(0),
                              .confirmed = LogOffset(0),
                              .of_group = true,
                              .seen = Epoch(0),
                              .started = now()});
  See(View(5, "a", {"a", "b", "c"}));
  Pass(milliseconds(300));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(PledgeTest, AnOperatorIsToldToWait) {
  MakeSlave();
  ASSERT_TRUE(Ask().granted);
  See(LeaseGone());
  const absl::Status refused = member().ElectUnclean(now());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("another 2000 ms"), std::string::npos) << refused;
  Pass(kPledgeTime);
  EXPECT_TRUE(Take<action::Elect>().has_value() || member().ElectUnclean(now()).ok());
}

}  // namespace
}  // namespace dunlin::replicator
