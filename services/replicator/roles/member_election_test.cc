// Who becomes master, and when.
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class MemberElectionTest : public MemberFixture {
 protected:
  void MakeIn(Mode mode, std::optional<Epoch> promise = Epoch(0)) {
    Make(Options(mode), Log({{Epoch(4), LogOffset(0)}}, 100), promise);
  }
};

TEST_F(MemberElectionTest, NothingHappensBeforeTheCoordinatorHasSpoken) {
  MakeIn(Mode::kSync);
  Pass(seconds(100));
  EXPECT_TRUE(member().TakeActions().empty());
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_EQ(Accepting::kNotMaster, page().accepting);
}

TEST_F(MemberElectionTest, WhileAnotherHoldsTheLeaseItIsFollowed) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}, "b"));
  EXPECT_EQ("b", Take<action::Follow>().value().master);
  Pass(seconds(100));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(MemberElectionTest, StandsWhenTheLeaseIsGone) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}, "b"));
  See(LeaseGone());
  EXPECT_TRUE(Take<action::AskPeers>().has_value());
  Pass(milliseconds(50));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ(view_.version, elect->version);
  EXPECT_EQ(Epoch(5), elect->record.epoch);
  EXPECT_EQ("a", elect->record.master);
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), elect->record.in_sync)
      << "as it was: without b there would be too few";
  EXPECT_EQ("", elect->warning);
}

TEST_F(MemberElectionTest, TheFormerMasterIsLeftOutWhenEnoughOthersAreInSync) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b", "c"}));
  Pass(milliseconds(50));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "c"}), elect->record.in_sync);
}

TEST_F(MemberElectionTest, OneThatWasMasterItselfLeavesNobodyOut) {
  MakeIn(Mode::kSync);
  See(View(4, "a", {"a", "b", "c"}));
  Pass(milliseconds(50));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c"}), elect->record.in_sync);
}

TEST_F(MemberElectionTest, OutsideOfTheInSyncSetItDoesNotStand) {
  for (const Mode mode : {Mode::kSync, Mode::kAsync}) {
    MakeIn(mode);
    See(View(4, "b", {"b", "c"}));
    Pass(seconds(100));
    EXPECT_FALSE(Take<action::Elect>().has_value());
  }
}

TEST_F(MemberElectionTest, AnEmptyDiskInPlaceOfAMemberIsNotElected) {
  MakeIn(Mode::kSync, std::nullopt);
  See(View(4, "b", {"a", "b"}));
  Pass(seconds(100));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(MemberElectionTest, TheGroupsFirstMasterBeginsWithItselfInSync) {
  Make(Options(Mode::kSync), LogState{}, std::nullopt);
  See(GroupView{.revision = 1, .version = 0, .record = {}, .lease = {}});
  EXPECT_EQ(Epoch(0), Take<action::PersistPromise>().value().epoch);
  Pass(milliseconds(50));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ(0, elect->version);
  EXPECT_EQ(Epoch(1), elect->record.epoch);
  EXPECT_EQ((std::set<MemberName>{"a"}), elect->record.in_sync);
}

// A lone broker's log that is to be the group's has to win; until then it is nobody's but its own.
TEST_F(MemberElectionTest, AFullStoreBecomesTheGroupsByWinningAlone) {
  const Member::Durable lone{.log = Log({{Epoch(4), LogOffset(0)}}, 100),
                             .promise = std::nullopt,
                             .confirmed = LogOffset(0),
                             .of_group = false,
                             .seen = Epoch(0)};
  const GroupView nobody{.revision = 1, .version = 0, .record = {}, .lease = {}};
  Make(Options(Mode::kSync), lone);
  See(nobody);
  Pass(milliseconds(50));
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ(Epoch(5), elect->record.epoch) << "above those that its log has";
  Accept(*elect);
  ASSERT_TRUE(Take<action::BeginEpoch>().has_value());

  // It ended there: the record says that it won, and it stands again.
  Member::Durable again = lone;
  again.promise = Epoch(0);
  Make(Options(Mode::kSync), again);
  See(LeaseGone());
  Pass(milliseconds(50));
  EXPECT_EQ(Epoch(6), Take<action::Elect>().value().record.epoch);

  // Another won: it saw that there was no master before, and has everything but the group's log.
  Make(Options(Mode::kQuorum), lone);
  See(nobody);
  EXPECT_TRUE(Take<action::PersistPromise>().has_value());
  member().OnPromisePersisted(Epoch(0), now());
  See(View(5, "b", {"a", "b", "c"}, "b"));
  See(LeaseGone());
  Pass(seconds(10));
  EXPECT_FALSE(Take<action::AskPromises>().has_value());
  EXPECT_NE(std::string::npos, member().Describe().find("not the group's")) << member().Describe();
}

TEST_F(MemberElectionTest, ANewerViewEndsTheAttempt) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}));
  See(View(5, "b", {"a", "b"}, "b"));
  Pass(seconds(10));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(MemberElectionTest, AnOvertakenViewIsPassedOver) {
  MakeIn(Mode::kSync);
  const GroupView old = View(4, "b", {"a", "b"});
  See(View(5, "b", {"a", "b"}, "b"));
  member().OnView(old, now());
  Pass(seconds(10));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(MemberElectionTest, WinningBeginsTheEpochBeforeAnythingIsAccepted) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}));
  Pass(milliseconds(50));
  Accept(*Take<action::Elect>());
  EXPECT_EQ(Epoch(5), Take<action::BeginEpoch>().value().epoch);
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_EQ(absl::StatusCode::kUnavailable,
            member().OnHello(1, {.member = "b"}, now()).status().code());
  Begin(5);
  EXPECT_EQ(Role::kSlave, page().role) << "the start of the epoch is not confirmed yet";
  Join(1, "b");
  EXPECT_EQ(Role::kMaster, page().role);
  EXPECT_EQ(Epoch(5), page().epoch);
  EXPECT_EQ(LogOffset(100), page().replicated);
  EXPECT_EQ(Accepting::kYes, page().accepting);
}

// Between the election and its answer: an operator deletes the record, or the watch is behind.
TEST_F(MemberElectionTest, AnElectionWhoseRecordIsGoneIsGivenBack) {
  for (const bool has_view : {true, false}) {
    MakeIn(Mode::kSync);
    See(View(4, "b", {"a", "b"}));
    Pass(milliseconds(50));
    const auto elect = Take<action::Elect>();
    ASSERT_TRUE(elect.has_value());
    Coordinator::Result result = Result(absl::OkStatus());
    GroupView bare = LeaseGone();
    bare.version = 0;
    bare.record.reset();
    bare.lease = LeaseHolder{"a", elect->record.epoch};
    if (has_view) result.view = bare;
    member().OnElected(result, now());
    if (!has_view) See(bare);
    Pass(seconds(1));
    EXPECT_FALSE(Take<action::BeginEpoch>().has_value());
    const auto release = Take<action::Release>();
    ASSERT_TRUE(release.has_value());
    EXPECT_EQ(elect->record.epoch, release->record.epoch);
    EXPECT_EQ((std::set<MemberName>{"a"}), release->record.in_sync);
  }
}

TEST_F(MemberElectionTest, LosingMeansToFollowTheWinner) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}));
  Pass(milliseconds(50));
  ASSERT_TRUE(Take<action::Elect>().has_value());
  Coordinator::Result lost = Result(absl::AbortedError("another"));
  lost.view = View(5, "b", {"a", "b"}, "b");
  member().OnElected(lost, now());
  EXPECT_EQ("b", Take<action::Follow>().value().master);
}

TEST_F(MemberElectionTest, AnUnknownOutcomeThatTurnsOutWonIsGivenBack) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"a", "b"}));
  Pass(milliseconds(50));
  ASSERT_TRUE(Take<action::Elect>().has_value());
  member().OnElected(Result(absl::UnavailableError("no answer")), now());
  See(View(5, "a", {"a", "b"}, "a"));
  EXPECT_TRUE(Take<action::Release>().has_value());
  EXPECT_FALSE(Take<action::BeginEpoch>().has_value());
}

TEST_F(MemberElectionTest, ALeaseOfAFormerLifeIsGivenBackAndStoodForAnew) {
  MakeIn(Mode::kSync);
  See(View(4, "a", {"a", "b"}, "a"));
  ASSERT_TRUE(Take<action::Release>().has_value());
  Coordinator::Result released = Result(absl::OkStatus());
  released.view = LeaseGone();
  member().OnReleased(released, now());
  Pass(milliseconds(50));
  EXPECT_EQ(Epoch(5), Take<action::Elect>().value().record.epoch);
}

TEST_F(MemberElectionTest, AnOperatorMayElectWhoLacksRecordsAndTheRecordSaysSo) {
  MakeIn(Mode::kSync);
  See(View(4, "b", {"b", "c"}, "b"));
  EXPECT_EQ(absl::StatusCode::kFailedPrecondition, member().ElectUnclean(now()).code())
      << "while the master lives";
  See(LeaseGone());
  ASSERT_TRUE(member().ElectUnclean(now()).ok());
  const auto elect = Take<action::Elect>();
  ASSERT_TRUE(elect.has_value());
  EXPECT_EQ((std::set<MemberName>{"a"}), elect->record.in_sync);
  EXPECT_EQ(Epoch(5), elect->record.unclean_epoch);
  EXPECT_NE("", elect->warning);
}

// ---- promises ----

class MemberPromiseTest : public MemberElectionTest {
 protected:
  MemberPromiseTest() {
    MakeIn(Mode::kQuorum);
    See(View(4, "b", {"a", "b", "c"}, "b"));
    EXPECT_TRUE(Take<action::Follow>().has_value());
    member().OnStreamStart(1, {.epoch = Epoch(4), .common = {{Epoch(4), LogOffset(100)}}}, now());
  }
  PromiseAnswer Ask(uint32_t epoch, const MemberName& who = "c") {
    member().OnPromiseAsked(++ticket_, who, Epoch(epoch), now());
    if (const auto persist = Take<action::PersistPromise>()) {
      EXPECT_FALSE(Take<action::AnswerPromise>().has_value()) << "before it was durable";
      member().OnPromisePersisted(persist->epoch, now());
    }
    const auto answer = Take<action::AnswerPromise>();
    EXPECT_TRUE(answer.has_value());
    EXPECT_EQ(ticket_, answer->ticket);
    return answer->answer;
  }
  uint64_t ticket_ = 0;
};

TEST_F(MemberPromiseTest, IsDurableAndTellsThePositionAndEndsTheStreamOfTheOldMaster) {
  EXPECT_TRUE(member().ack(1).has_value());
  const PromiseAnswer answer = Ask(5);
  EXPECT_TRUE(answer.granted);
  EXPECT_EQ((LogPosition{Epoch(4), LogOffset(100)}), answer.position);
  EXPECT_EQ(1u, Take<action::DropStream>().value().stream);
  EXPECT_FALSE(member().OnFrame(1, LogOffset(100), LogOffset(0), now()).ok());
  EXPECT_FALSE(member().ack(1).has_value());
}

TEST_F(MemberPromiseTest, NothingOfALowerEpochIsFollowedAfterwards) {
  Ask(6);
  member().OnStreamStart(2, {.epoch = Epoch(5), .common = {{Epoch(4), LogOffset(100)}}}, now());
  EXPECT_EQ(2u, Take<action::DropStream>().value().stream);
  member().OnStreamStart(3, {.epoch = Epoch(6), .common = {{Epoch(4), LogOffset(100)}}}, now());
  EXPECT_FALSE(Take<action::DropStream>().has_value());
  EXPECT_TRUE(member().OnFrame(3, LogOffset(100), LogOffset(0), now()).ok());
}

TEST_F(MemberPromiseTest, IsGivenOnceToEachButNeverBelowOne) {
  EXPECT_TRUE(Ask(6, "c").granted);
  EXPECT_TRUE(Ask(6, "b").granted) << "the compare-and-swap decides between the two";
  const PromiseAnswer refused = Ask(5, "b");
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(Epoch(6), refused.epoch);
}

TEST_F(MemberPromiseTest, IsRefusedForAnEpochThatHasHadItsMaster) {
  EXPECT_FALSE(Ask(4).granted);
  See(View(7, "b", {"a", "b", "c"}, "b"));
  EXPECT_FALSE(Ask(7).granted);
}

TEST_F(MemberPromiseTest, IsRefusedToStrangersAndByTheNew) {
  EXPECT_FALSE(Ask(5, "x").granted);
  MakeIn(Mode::kQuorum, std::nullopt);
  See(View(4, "b", {"a", "b", "c"}));
  EXPECT_FALSE(Ask(5).granted);
}

TEST_F(MemberPromiseTest, AMasterThatIsSureOfItsLeaseRefusesOneThatIsNotStepsDown) {
  See(LeaseGone());
  Pass(milliseconds(50));
  ASSERT_EQ(Epoch(5), Take<action::AskPromises>().value().epoch);
  EXPECT_FALSE(Take<action::Elect>().has_value());
  member().OnPromisePersisted(Take<action::PersistPromise>().value().epoch, now());
  member().OnPromiseAnswer(
      "c",
      {.granted = true, .epoch = Epoch(5), .position = {Epoch(4), LogOffset(90)}, .reason = ""},
      now());
  Accept(Take<action::Elect>().value());
  Begin(5);
  Join(1, "c");
  ASSERT_EQ(Role::kMaster, page().role);
  EXPECT_FALSE(Ask(6).granted);
  EXPECT_EQ(Role::kMaster, page().role);
  Pass(kTtl);
  EXPECT_EQ(Accepting::kLeaseOver, page().accepting);
  EXPECT_TRUE(Ask(6).granted);
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_TRUE(Take<action::DropSlaves>().has_value());
}

TEST_F(MemberPromiseTest, AnAttemptThatIsRepeatedAsksForTheSameEpoch) {
  See(LeaseGone());
  Pass(milliseconds(50));
  ASSERT_EQ(Epoch(5), Take<action::AskPromises>().value().epoch);
  Pass(seconds(2));  // nobody answers: given up
  Pass(seconds(1));
  Pass(seconds(1));
  EXPECT_EQ(Epoch(5), Take<action::AskPromises>().value().epoch);
}

}  // namespace
}  // namespace dunlin::replicator
