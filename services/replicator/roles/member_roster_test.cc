// Members come and go: what the master counts meanwhile, whom it refuses, what those see that are
// none any more.
#include <chrono>

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
using Kind = RosterChange::Kind;

Roster RosterOf(const std::set<MemberName>& voters) {
  Roster roster;
  for (const MemberName& name : voters) roster.Add(name, name + ":1", Seat::kVoter);
  return roster;
}

class MemberRosterTest : public MemberFixture {
 protected:
  static MemberOptions OptionsWithRoster(Mode mode) {
    MemberOptions options = Options(mode);
    options.roster = RosterOf({"a", "b", "c"});
    return options;
  }

  // Master of epoch 5 with a log of 100 bytes, all of it confirmed; b and c are connected.
  void BeMaster(Mode mode) {
    Make(OptionsWithRoster(mode), Log({{Epoch(4), LogOffset(0)}}, 100));
    See(View(4, "a", {"a", "b", "c"}));
    Pass(milliseconds(50));
    if (mode == Mode::kQuorum) {
      member().OnPromisePersisted(Take<action::PersistPromise>().value().epoch, now());
      member().OnPromiseAnswer(
          "c",
          {.granted = true, .epoch = Epoch(5), .position = {Epoch(4), LogOffset(90)}, .reason = ""},
          now());
    }
    Accept(Take<action::Elect>().value());
    Begin(5);
    Join(1, "b");
    Join(2, "c");
    ASSERT_EQ(Role::kMaster, page().role);
  }

  absl::Status Add(const MemberName& name, bool learner = false) {
    return member().ChangeRoster(
        {.kind = Kind::kAdd, .member = name, .address = name + ":1", .learner = learner}, now());
  }
  absl::Status Remove(const MemberName& name, bool force = false) {
    return member().ChangeRoster({.kind = Kind::kRemove, .member = name, .force = force}, now());
  }
  // d follows as a learner that is to count.
  void AddAndAccept(const MemberName& name) {
    ASSERT_OK(Add(name));
    Accept(Take<action::Update>().value());
  }
  Seat SeatOf(const MemberName& name) { return member().options().roster.entries.at(name).seat; }
};

TEST_F(MemberRosterTest, TheFirstRecordHasTheRosterOfTheConfiguration) {
  Make(OptionsWithRoster(Mode::kSync), Log({}, 0));
  See({.revision = 1, .version = 0, .record = {}, .lease = {}});
  Pass(milliseconds(300));
  EXPECT_EQ(RosterOf({"a", "b", "c"}), Take<action::Elect>().value().record.roster);
}

TEST_F(MemberRosterTest, TheRecordKnowsBetterThanTheConfiguration) {
  Make(OptionsWithRoster(Mode::kQuorum), Log({{Epoch(4), LogOffset(0)}}, 100));
  GroupView view = View(4, "d", {"a", "d"}, "d");
  view.record->roster = RosterOf({"a", "d"});
  See(view);
  EXPECT_EQ((std::set<MemberName>{"a", "d"}), member().options().members);
  EXPECT_EQ("d", Take<action::Follow>().value().master);
}

TEST_F(MemberRosterTest, ANewMemberCountsWhenItHasCaughtUp) {
  BeMaster(Mode::kQuorum);
  AddAndAccept("d");
  EXPECT_EQ(Seat::kJoining, SeatOf("d"));
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c"}), member().options().members);
  Connect(3, "d");
  AckTo(3, 10, 10);
  EXPECT_FALSE(Take<action::Update>().has_value()) << "it lacks 90 bytes";
  AckAll(3);
  const auto promotion = Take<action::Update>();
  ASSERT_TRUE(promotion.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c", "d"}), promotion->record.roster.Voters());
  EXPECT_EQ(promotion->record.roster.Voters(), promotion->record.in_sync);
  Accept(*promotion);
  EXPECT_EQ(Seat::kVoter, SeatOf("d"));
  EXPECT_EQ(4u, member().options().roster.entries.at("d").id);
}

TEST_F(MemberRosterTest, ALearnerStaysOneUntilItIsToCount) {
  BeMaster(Mode::kSync);
  ASSERT_OK(Add("d", true));
  Accept(Take<action::Update>().value());
  Join(3, "d");
  EXPECT_FALSE(Take<action::Update>().has_value());
  ASSERT_OK(Add("d"));
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Seat::kJoining, SeatOf("d"));
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Seat::kVoter, SeatOf("d"));
  Accept(Take<action::Update>().value());
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c", "d"}), member().view()->record->in_sync);
}

// Which of the two is written nobody knows until the coordinator answers.
TEST_F(MemberRosterTest, WhileVotersChangeAMajorityOfBothIsNeeded) {
  BeMaster(Mode::kQuorum);
  AddAndAccept("d");
  Join(3, "d");
  const action::Update promotion = Take<action::Update>().value();
  Append(50);
  AckTo(1, 150, 150);
  EXPECT_EQ(LogOffset(100), page().replicated) << "two of three, but not three of four";
  AckTo(3, 140, 140);
  EXPECT_EQ(LogOffset(140), page().replicated);
  Accept(promotion);
  AckTo(3, 150, 150);
  EXPECT_EQ(LogOffset(150), page().replicated);
}

TEST_F(MemberRosterTest, OneChangeAtATime) {
  BeMaster(Mode::kQuorum);
  ASSERT_OK(Add("d"));
  EXPECT_THAT(Add("e"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("under way")));
  Accept(Take<action::Update>().value());
  EXPECT_OK(Add("e"));
}

TEST_F(MemberRosterTest, AnUnknownOutcomeIsAskedForAgainAsItWas) {
  BeMaster(Mode::kQuorum);
  ASSERT_OK(Remove("c"));
  const action::Update removal = Take<action::Update>().value();
  member().OnUpdated(Result(absl::UnavailableError("no answer")), now());
  EXPECT_THAT(Remove("b"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("under way")));
  Pass(milliseconds(200));
  const action::Update again = Take<action::Update>().value();
  EXPECT_EQ(removal.version, again.version);
  EXPECT_EQ(removal.record, again.record);
}

TEST_F(MemberRosterTest, QuorumRefusesWhomAMajorityOfTheRestNeeds) {
  BeMaster(Mode::kQuorum);
  Append(50);
  AckTo(1, 150, 150);
  EXPECT_THAT(Remove("b"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("c lacks 50 bytes")));
  member().OnSlaveGone(2, now());
  EXPECT_THAT(Remove("b"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("c is not connected")));
  EXPECT_OK(Remove("c"));
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), Take<action::Update>().value().record.in_sync);
}

TEST_F(MemberRosterTest, ByForceThoseAreRemovedThatAreGoneForGood) {
  BeMaster(Mode::kQuorum);
  EXPECT_THAT(Remove("b", true),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("b is connected")));
  member().OnSlaveGone(1, now());
  member().OnSlaveGone(2, now());
  EXPECT_THAT(Remove("b", true),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no majority")))
      << "a stream that breaks may come back in a moment";
  Pass(seconds(1));
  EXPECT_THAT(Remove("b"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("c is not connected")));
  ASSERT_OK(Remove("b", true));
  Accept(Take<action::Update>().value());
  ASSERT_OK(Remove("c", true));
  Accept(Take<action::Update>().value());
  Append(10);
  EXPECT_EQ(LogOffset(110), page().replicated);
}

// Elected as it is by an operator: nothing is confirmed while the others count.
TEST_F(MemberRosterTest, AGroupThatLostItsMajorityGoesOnByForce) {
  Make(OptionsWithRoster(Mode::kQuorum), Log({{Epoch(4), LogOffset(0)}}, 100));
  See(View(4, "b", {"a", "b", "c"}));
  ASSERT_OK(member().ElectUnclean(now()));
  Accept(Take<action::Elect>().value());
  Begin(5);
  Pass(seconds(1));
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_THAT(Remove("b"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("by force")));
  ASSERT_OK(Remove("b", true));
  Accept(Take<action::Update>().value());
  ASSERT_OK(Remove("c", true));
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Role::kMaster, page().role);
  EXPECT_EQ(LogOffset(100), page().replicated);
}

TEST_F(MemberRosterTest, SyncKeepsMinInSync) {
  BeMaster(Mode::kSync);
  member().OnSlaveGone(1, now());
  Pass(seconds(1));
  Accept(Take<action::Update>().value());  // b is out of the set
  EXPECT_THAT(Remove("c"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("only a would be in sync")));
  ASSERT_OK(Remove("b"));
  Accept(Take<action::Update>().value());
  EXPECT_THAT(Remove("c"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    HasSubstr("add another member first")));
}

TEST_F(MemberRosterTest, WhoIsRemovedLeavesTheInSyncSetByTheSameWrite) {
  BeMaster(Mode::kSync);
  ASSERT_OK(Remove("c"));
  const action::Update removal = Take<action::Update>().value();
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), removal.record.in_sync);
  EXPECT_FALSE(removal.record.roster.contains("c"));
  Append(50);
  AckTo(1, 150, 150);
  EXPECT_EQ(LogOffset(100), page().replicated) << "c counts until it is written";
  Accept(removal);
  EXPECT_EQ(LogOffset(150), page().replicated);
  EXPECT_EQ(2u, Take<action::DropSlave>().value().stream);
  EXPECT_THAT(
      member()
          .OnHello(
              7,
              {.member = "c", .history = log_.history, .end = log_.end, .highest_epoch = Epoch(9)},
              now())
          .status(),
      StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("replica add")));
  EXPECT_EQ(Role::kMaster, page().role) << "what strangers have seen counts for nothing";
}

TEST_F(MemberRosterTest, TheMasterItselfHasToHandOverFirst) {
  BeMaster(Mode::kAsync);
  EXPECT_THAT(Remove("a"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replica switchover")));
}

TEST_F(MemberRosterTest, WhatCannotBeIsRefusedByName) {
  BeMaster(Mode::kAsync);
  EXPECT_THAT(member().ChangeRoster({.kind = Kind::kAdd, .member = "d", .address = "b:1"}, now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the address of b")));
  EXPECT_THAT(member().ChangeRoster({.kind = Kind::kAdd, .member = "b", .address = "x:1"}, now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("set-address")));
  EXPECT_THAT(Add("b", true),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("remove it first")));
  EXPECT_THAT(
      member().ChangeRoster({.kind = Kind::kSetAddress, .member = "x", .address = "x:1"}, now()),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("replica add")));
  EXPECT_OK(Remove("x")) << "it is not there";
  EXPECT_OK(Add("b")) << "it is there";
  Take<action::Update>();  // the roster of the configuration is written with the first change
}

TEST_F(MemberRosterTest, AStaticGroupHasTheMembersOfItsConfiguration) {
  Make(Options(Mode::kAsync), Log({{Epoch(4), LogOffset(0)}}, 100));
  See(View(4, "a", {"a", "b", "c"}));
  Win();
  EXPECT_THAT(Add("d"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("STATIC")));
}

TEST_F(MemberRosterTest, WhoIsRemovedTakesNoPart) {
  Make(OptionsWithRoster(Mode::kQuorum), Log({{Epoch(4), LogOffset(0)}}, 100));
  See(View(4, "b", {"a", "b", "c"}, "b"));
  ASSERT_TRUE(Take<action::Follow>().has_value());
  GroupView view = View(4, "b", {"b", "c"}, "b");
  view.record->roster = RosterOf({"b", "c"});
  See(view);
  EXPECT_TRUE(Take<action::StopFollowing>().has_value());
  EXPECT_EQ(Role::kNone, page().role);
  EXPECT_THAT(member().Describe(), HasSubstr("no member of the group any more"));
  member().OnPromiseAsked(1, "b", Epoch(9), now());
  EXPECT_FALSE(Take<action::AnswerPromise>().value().answer.granted);
  See(LeaseGone());
  Pass(seconds(5));
  EXPECT_FALSE(Take<action::AskPeers>().has_value());
  EXPECT_THAT(member().ElectUnclean(now()), StatusIs(absl::StatusCode::kFailedPrecondition));
  // It is taken in again.
  view = View(5, "b", {"b", "c"}, "b");
  view.record->roster = RosterOf({"b", "c"});
  view.record->roster.Add("a", "a:2", Seat::kJoining);
  See(view);
  EXPECT_TRUE(Take<action::Follow>().has_value());
  EXPECT_EQ(Role::kSlave, page().role);
}

TEST_F(MemberRosterTest, APromiseIsGivenToMembersOnly) {
  Make(OptionsWithRoster(Mode::kQuorum), Log({{Epoch(4), LogOffset(0)}}, 100));
  GroupView view = View(4, "b", {"a", "b"});
  view.record->roster = RosterOf({"a", "b"});
  See(view);
  member().OnPromiseAsked(1, "c", Epoch(9), now());
  EXPECT_FALSE(Take<action::AnswerPromise>().value().answer.granted);
  EXPECT_EQ(Epoch(4), member().highest_epoch());
}

// It names no members but knows the coordinator.
TEST_F(MemberRosterTest, WhoIsNotAddedYetWaits) {
  Make({.name = "d", .members = {}, .learners = {}, .mode = Mode::kQuorum}, Log({}, 0),
       std::nullopt);
  See({.revision = 1, .version = 0, .record = {}, .lease = {}});
  Pass(seconds(5));
  EXPECT_FALSE(Take<action::AskPeers>().has_value()) << "a group of strangers is not begun";
  EXPECT_THAT(member().Describe(), HasSubstr("replica add d="));
  GroupView view = View(4, "b", {"a", "b"}, "b");
  view.record->roster = RosterOf({"a", "b"});
  See(view);
  EXPECT_FALSE(Take<action::Follow>().has_value());
  view = View(4, "b", {"a", "b"}, "b");
  view.record->roster = RosterOf({"a", "b"});
  view.record->roster.Add("d", "d:1", Seat::kJoining);
  See(view);
  EXPECT_EQ("b", Take<action::Follow>().value().master);
}

}  // namespace
}  // namespace dunlin::replicator
