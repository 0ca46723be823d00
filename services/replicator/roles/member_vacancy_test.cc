// A group without a master: who waits for whom, and who does not any more.
#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/base/testing/status_matchers.h"
#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class MemberVacancyTest : public MemberFixture {
 protected:
  // "a", of a group whose master was "b".
  void MakeIn(const MemberOptions& options, std::optional<Epoch> promise = Epoch(0)) {
    Make(options, Log({{Epoch(4), LogOffset(0)}}, 100), promise);
    See(View(4, "b", {"a", "b"}, "b"));
  }
  static MemberOptions Delayed(Mode mode = Mode::kSync) {
    MemberOptions options = Options(mode);
    options.election_delay = seconds(60);
    return options;
  }
  static MemberOptions Manual() {
    MemberOptions options = Options(Mode::kSync);
    options.manual_election = true;
    return options;
  }
  static MemberOptions Unclean(Mode mode = Mode::kSync) {
    MemberOptions options = Options(mode);
    options.unclean_after = seconds(30);
    return options;
  }
  // A minute and more, seen often.
  std::optional<action::Elect> ElectedIn(Duration time) {
    for (Duration passed{}; passed < time; passed += milliseconds(50)) {
      Pass(milliseconds(50));
      if (auto elect = Take<action::Elect>()) return elect;
    }
    return std::nullopt;
  }
  void TellPosition(const MemberName& peer, uint64_t end) {
    member().OnPeerState(peer, {.position = {Epoch(4), LogOffset(end)}, .highest_epoch = Epoch(4)},
                         now());
  }
};

TEST_F(MemberVacancyTest, OthersWaitForTheFormerMaster) {
  MakeIn(Delayed());
  Pass(seconds(100));  // there is a master
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(59)).has_value());
  EXPECT_THAT(member().Describe(), HasSubstr("waits up to 1 s more for b"));
  EXPECT_FALSE(Take<action::AskPeers>().has_value());
  EXPECT_EQ(now() + seconds(1), member().wake_at());
  EXPECT_TRUE(ElectedIn(seconds(2)).has_value());
}

TEST_F(MemberVacancyTest, TheTimeCountsFromWhenTheMasterWent) {
  MakeIn(Delayed());
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());
  // The record is written anew; nobody is master by that.
  GroupView view = View(4, "b", {"a", "b", "c"});
  See(view);
  EXPECT_FALSE(ElectedIn(seconds(19)).has_value());
  EXPECT_TRUE(ElectedIn(seconds(2)).has_value());
}

TEST_F(MemberVacancyTest, AMasterInBetweenIsAnotherVacancy) {
  MakeIn(Delayed());
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());
  See(View(5, "b", {"a", "b"}, "b"));
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(59)).has_value());
  EXPECT_TRUE(ElectedIn(seconds(2)).has_value());
}

TEST_F(MemberVacancyTest, TheFormerMasterDoesNotWait) {
  for (const MemberOptions& options : {Delayed(), Manual()}) {
    Make(options, Log({{Epoch(4), LogOffset(0)}}, 100));
    See(View(4, "a", {"a", "b"}));
    EXPECT_TRUE(ElectedIn(seconds(4)).has_value());
  }
}

TEST_F(MemberVacancyTest, WhoIsChosenBySwitchoverDoesNotWait) {
  for (const MemberOptions& options : {Delayed(), Manual()}) {
    MakeIn(options);
    GroupView view = View(4, "b", {"a", "b"});
    view.record->preferred = "a";
    See(view);
    EXPECT_TRUE(ElectedIn(milliseconds(100)).has_value());
  }
}

TEST_F(MemberVacancyTest, WhenAnotherIsChosenTheyWaitAsEver) {
  MakeIn(Manual());
  GroupView view = View(4, "b", {"a", "b", "c"});
  view.record->preferred = "c";
  See(view);
  EXPECT_FALSE(ElectedIn(seconds(100)).has_value());
}

TEST_F(MemberVacancyTest, AGroupThatNeverHadAMasterDoesNotWait) {
  for (const MemberOptions& options : {Delayed(), Manual()}) {
    Make(options, Log({}, 0));
    GroupView view = View(4, "b", {"a", "b"});
    view.record.reset();
    See(view);
    if (const auto persist = Take<action::PersistPromise>()) {
      member().OnPromisePersisted(persist->epoch, now());
    }
    EXPECT_TRUE(ElectedIn(seconds(1)).has_value());
  }
}

TEST_F(MemberVacancyTest, ManualWaitsForAnOperator) {
  MakeIn(Manual());
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(100)).has_value());
  EXPECT_THAT(member().Describe(), HasSubstr("`dunlinctl replica elect`"));
  EXPECT_OK(member().Elect(now()));
  const auto elect = ElectedIn(milliseconds(300));
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ("", elect->warning);
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), elect->record.in_sync);
}

TEST_F(MemberVacancyTest, AnOperatorsWordDoesNotCountForEver) {
  MakeIn(Manual());
  See(LeaseGone());
  EXPECT_OK(member().Elect(now()));
  ASSERT_TRUE(ElectedIn(milliseconds(300)).has_value());
  // Somebody else was elected, and went.
  member().OnElected(Result(absl::AbortedError("another one")), now());
  See(View(5, "c", {"a", "c"}, "c"));
  See(LeaseGone());
  EXPECT_FALSE(ElectedIn(seconds(1)).has_value());
  // Or nothing came of it.
  EXPECT_OK(member().Elect(now()));
  ASSERT_TRUE(ElectedIn(milliseconds(300)).has_value());
  Pass(kAskedTime);
  member().OnElected(Result(absl::UnavailableError("it does not answer")), now());
  EXPECT_FALSE(ElectedIn(seconds(5)).has_value());
}

TEST_F(MemberVacancyTest, NobodyIsElectedByRequestWhoMayNotBe) {
  MakeIn(Manual());
  EXPECT_THAT(member().Elect(now()), StatusIs(absl::StatusCode::kFailedPrecondition,
                                              HasSubstr("b holds the lease of epoch 4")));
  See(View(4, "b", {"b", "c"}));
  EXPECT_THAT(member().Elect(now()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("not in the in-sync set and may lack what was acknowledged; "
                                 "`replica elect --accept-loss` takes it as it is")));
  EXPECT_FALSE(ElectedIn(seconds(5)).has_value());
}

TEST_F(MemberVacancyTest, WhoIsNotInSyncIsElectedWhenNobodyElseCame) {
  MakeIn(Unclean());
  See(View(4, "b", {"b", "c"}));
  EXPECT_FALSE(ElectedIn(milliseconds(29'900)).has_value());
  const auto elect = ElectedIn(seconds(1));
  ASSERT_TRUE(elect.has_value());
  EXPECT_THAT(elect->warning, HasSubstr("replication.unclean_election_after_seconds elects a"));
  EXPECT_EQ(Epoch(5), elect->record.unclean_epoch);
  EXPECT_EQ((std::set<MemberName>{"a"}), elect->record.in_sync);
}

TEST_F(MemberVacancyTest, WithoutThatItIsNot) {
  MakeIn(Options(Mode::kSync));
  See(View(4, "b", {"b", "c"}));
  EXPECT_FALSE(ElectedIn(seconds(1000)).has_value());
}

TEST_F(MemberVacancyTest, WhoHasMoreIsLeftTime) {
  MakeIn(Unclean());
  See(View(4, "b", {"b"}));
  Pass(seconds(30));
  EXPECT_TRUE(Take<action::AskPeers>().has_value());
  TellPosition("c", 200);
  EXPECT_FALSE(ElectedIn(milliseconds(1000)).has_value());
  EXPECT_TRUE(ElectedIn(milliseconds(200)).has_value());
  // Who has less is not waited for.
  MakeIn(Unclean());
  See(View(4, "b", {"b"}));
  Pass(seconds(30));
  TellPosition("c", 50);
  EXPECT_TRUE(ElectedIn(milliseconds(100)).has_value());
}

TEST_F(MemberVacancyTest, WithAQuorumItNeedsNoPromisesThen) {
  MakeIn(Unclean(Mode::kQuorum));
  See(LeaseGone());
  const auto elect = ElectedIn(seconds(33));  // attempts of others' promises fail meanwhile
  ASSERT_TRUE(elect.has_value());
  EXPECT_NE("", elect->warning);
  EXPECT_GT(elect->record.epoch, Epoch(4));
}

TEST_F(MemberVacancyTest, AStoreThatIsNewDamagedOrEmptyIsNotElectedAsItIs) {
  MakeIn(Unclean(), std::nullopt);
  See(View(4, "b", {"b"}));
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());

  LogState log = Log({{Epoch(4), LogOffset(0)}}, 100);
  log.damaged = LogOffset(50);
  Make(Unclean(), log);
  See(View(4, "b", {"b"}));
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());

  Make(Unclean(), Log({}, 0));
  See(View(4, "b", {"b"}));
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());

  MakeIn(Unclean());
  member().Leave();
  See(View(4, "b", {"b"}));
  EXPECT_FALSE(ElectedIn(seconds(40)).has_value());
}

TEST_F(MemberVacancyTest, WhoHasPledgedIsNotElectedAsItIsEither) {
  MakeIn(Unclean());
  See(View(4, "b", {"b"}));
  Pass(seconds(29));
  ASSERT_TRUE(member().OnPledgeAsked({"b", Epoch(4), kPledgeTime}, now()).granted);
  EXPECT_FALSE(ElectedIn(kPledgeTime - milliseconds(50)).has_value());
  EXPECT_TRUE(ElectedIn(seconds(1)).has_value());
}

}  // namespace
}  // namespace dunlin::replicator
