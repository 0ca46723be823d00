// What a master confirms, whom it counts, and how it ends.
#include <chrono>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class MemberMasterTest : public MemberFixture {
 protected:
  // Master of epoch 5 with a log of 100 bytes; nobody is connected.
  void BeMaster(Mode mode, std::set<MemberName> in_sync, Flush flush = Flush::kAsync) {
    Make(Options(mode, flush), Log({{Epoch(4), LogOffset(0)}}, 100));
    See(View(4, "a", std::move(in_sync)));
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
  }
  void Renew() {
    if (Take<action::KeepAlive>().has_value())
      member().OnKeptAlive(Result(absl::OkStatus()), now());
  }
};

TEST_F(MemberMasterTest, AsyncConfirmsByItself) {
  BeMaster(Mode::kAsync, {"a", "b"});
  EXPECT_EQ(Role::kMaster, page().role);
  EXPECT_EQ(LogOffset(UINT64_MAX), page().replicated);
  Append(50);
  EXPECT_EQ(LogOffset(150), member().confirm());
}

TEST_F(MemberMasterTest, SyncConfirmsWhatTheWholeSetHas) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  EXPECT_EQ(Role::kSlave, page().role) << "c has said nothing yet";
  Join(2, "c");
  EXPECT_EQ(Role::kMaster, page().role);
  Append(50);
  EXPECT_EQ(LogOffset(100), page().replicated);
  AckTo(1, 150, 150);
  EXPECT_EQ(LogOffset(100), page().replicated);
  AckTo(2, 130, 130);
  EXPECT_EQ(LogOffset(130), page().replicated);
}

TEST_F(MemberMasterTest, AcknowledgedMeansFlushedUnderSyncFlush) {
  BeMaster(Mode::kSync, {"a", "b"}, Flush::kSync);
  Join(1, "b");
  Append(50);
  AckTo(1, 150, 120);
  EXPECT_EQ(LogOffset(120), page().replicated);
}

TEST_F(MemberMasterTest, TheMastersOwnFlushCountsToo) {
  BeMaster(Mode::kSync, {"a", "b"}, Flush::kSync);
  Join(1, "b");
  Append(50, /*flushed=*/false);
  AckTo(1, 150, 150);
  EXPECT_EQ(LogOffset(100), page().replicated);
}

TEST_F(MemberMasterTest, AnAcknowledgementInAnOlderEpochCountsForNothing) {
  BeMaster(Mode::kSync, {"a", "b"});
  Connect(1, "b");
  member().OnAck(1, {.epoch = Epoch(4), .received = LogOffset(100), .flushed = LogOffset(100)},
                 now());
  EXPECT_EQ(Role::kSlave, page().role);
  AckAll(1);
  EXPECT_EQ(Role::kMaster, page().role);
}

TEST_F(MemberMasterTest, AStreamThatWasReplacedCountsForNothing) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  Append(50);
  Connect(2, "b");
  AckTo(1, 150, 150);
  member().OnSlaveGone(1, now());
  EXPECT_EQ(LogOffset(100), page().replicated);
  AckTo(2, 150, 150);
  EXPECT_EQ(LogOffset(150), page().replicated);
}

TEST_F(MemberMasterTest, ABrokenMemberLeavesAfterASecondAndCountsUntilThatIsWritten) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  Append(50);
  AckTo(1, 150, 150);
  member().OnSlaveGone(2, now());
  Pass(milliseconds(999));
  EXPECT_FALSE(Take<action::Update>().has_value());
  Pass(milliseconds(1));
  const auto update = Take<action::Update>();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), update->record.in_sync);
  EXPECT_EQ(LogOffset(100), page().replicated);
  Accept(*update);
  EXPECT_EQ(LogOffset(150), page().replicated);
  EXPECT_EQ(Accepting::kYes, page().accepting);
}

TEST_F(MemberMasterTest, WhoIsAboutToStopIsNotWaitedFor) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  AckLeaving(2);
  const auto update = Take<action::Update>();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), update->record.in_sync);
  Append(50);
  AckTo(1, 150, 150);
  EXPECT_EQ(LogOffset(100), page().replicated) << "it counts until that is written";
  Accept(*update);
  EXPECT_EQ(LogOffset(150), page().replicated);
  AckLeaving(2);
  EXPECT_FALSE(Take<action::Update>().has_value()) << "it has all, and does not join again";
  EXPECT_FALSE(member().SwitchOver("c", now()).ok());
  // As it comes back.
  member().OnSlaveGone(2, now());
  Join(3, "c");
  const auto back = Take<action::Update>();
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c"}), back->record.in_sync);
}

TEST_F(MemberMasterTest, WithoutWhomThereWouldBeTooFewIsWaitedForUntilItHasGone) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  AckLeaving(1);
  AckLeaving(2);
  const auto update = Take<action::Update>();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(2u, update->record.in_sync.size()) << "one of them";
  Accept(*update);
  EXPECT_FALSE(Take<action::Update>().has_value());
  EXPECT_EQ(Accepting::kYes, page().accepting);
}

TEST_F(MemberMasterTest, AChangeWithUnknownOutcomeIsRepeatedAndCountsMeanwhile) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  Append(50);
  AckTo(1, 150, 150);
  member().OnSlaveGone(2, now());
  Pass(seconds(1));
  const auto first = Take<action::Update>();
  ASSERT_TRUE(first.has_value());
  member().OnUpdated(Result(absl::UnavailableError("no answer")), now());
  EXPECT_EQ(LogOffset(100), page().replicated);
  Pass(milliseconds(200));
  const auto second = Take<action::Update>();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->version, second->version);
  EXPECT_EQ(first->record, second->record);
  Accept(*second);
  EXPECT_EQ(LogOffset(150), page().replicated);
}

TEST_F(MemberMasterTest, ASlaveThatFallsBehindLeavesAfterThreeSeconds) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  for (int i = 0; i < 29; ++i) {
    Pass(milliseconds(100));
    Renew();
    Append(10);
    AckAll(1);
    AckTo(2, 101, 101);  // alive, but stuck
    EXPECT_FALSE(Take<action::Update>().has_value());
  }
  Pass(milliseconds(200));
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), Take<action::Update>().value().record.in_sync);
}

TEST_F(MemberMasterTest, ASlaveThatKeepsUpWithABusyMasterStays) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = log_.end.value();
    Append(10);
    AckTo(1, before, before);  // always one step behind
    Pass(milliseconds(100));
    Renew();
  }
  EXPECT_FALSE(Take<action::Update>().has_value());
}

TEST_F(MemberMasterTest, ASlaveJoinsWhenItHasWhatIsConfirmedInThisEpoch) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  Append(50);
  AckTo(1, 150, 150);
  Connect(2, "c");
  AckTo(2, 149, 149);
  EXPECT_FALSE(Take<action::Update>().has_value());
  AckTo(2, 150, 150);
  const auto update = Take<action::Update>();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c"}), update->record.in_sync);
  // From now on it counts: the record may say so already.
  Append(50);
  AckTo(1, 200, 200);
  EXPECT_EQ(LogOffset(150), page().replicated);
}

TEST_F(MemberMasterTest, ALearnerNeverJoins) {
  MemberOptions options = Options(Mode::kSync);
  options.learners = {"l"};
  Make(options, Log({{Epoch(4), LogOffset(0)}}, 100));
  See(View(4, "b", {"a", "b"}));
  Win();
  Join(1, "b");
  Join(2, "l");
  EXPECT_FALSE(Take<action::Update>().has_value());
}

TEST_F(MemberMasterTest, AMemberThatLostWhatWasConfirmedLeavesAtOnce) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  Append(50);
  AckAll(1);
  AckAll(2);
  ASSERT_EQ(LogOffset(150), page().replicated);
  Connect(3, "c");
  AckTo(3, 120, 120);
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), Take<action::Update>().value().record.in_sync);
  EXPECT_EQ(LogOffset(150), page().replicated) << "what is confirmed stays so";
}

TEST_F(MemberMasterTest, WithTooFewInSyncNothingNewIsTakenOrConfirmed) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  Append(50);
  member().OnSlaveGone(1, now());
  Pass(seconds(1));
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Accepting::kTooFewInSync, page().accepting);
  EXPECT_EQ(Role::kMaster, page().role);
  EXPECT_EQ(LogOffset(100), page().replicated) << "one copy is too few to tell anybody";
  Join(2, "b");
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Accepting::kYes, page().accepting);
  EXPECT_EQ(LogOffset(150), page().replicated);
}

TEST_F(MemberMasterTest, TheLastOneInSyncBeginsItsEpochThoughItIsAlone) {
  BeMaster(Mode::kSync, {"a", "b"});
  Pass(seconds(1));
  Accept(Take<action::Update>().value());
  EXPECT_EQ(Role::kMaster, page().role);
  EXPECT_EQ(Accepting::kTooFewInSync, page().accepting);
  EXPECT_EQ(LogOffset(100), page().replicated);
}

TEST_F(MemberMasterTest, QuorumConfirmsWhatAMajorityHasInThisEpoch) {
  BeMaster(Mode::kQuorum, {"a", "b", "c"});
  Connect(1, "c");
  AckTo(1, 90, 90);
  EXPECT_EQ(Role::kSlave, page().role);
  AckTo(1, 100, 100);
  EXPECT_EQ(Role::kMaster, page().role);
  Append(50);
  AckTo(1, 120, 120);
  EXPECT_EQ(LogOffset(120), page().replicated);
  EXPECT_FALSE(Take<action::Update>().has_value()) << "no set to keep";
}

TEST_F(MemberMasterTest, QuorumRefusesSendsWithoutAMajority) {
  BeMaster(Mode::kQuorum, {"a", "b", "c"});
  Join(1, "c");
  EXPECT_EQ(Accepting::kYes, page().accepting);
  member().OnSlaveGone(1, now());
  EXPECT_EQ(Accepting::kYes, page().accepting) << "a broken stream may come back";
  Pass(seconds(1));
  EXPECT_EQ(Accepting::kNoQuorum, page().accepting);
}

// ---- the lease ----

TEST_F(MemberMasterTest, RenewsInTimeAndFromWhenItWasSent) {
  BeMaster(Mode::kAsync, {"a"});
  const Instant elected = now();
  EXPECT_EQ(elected + kTtl * 7 / 8, page().lease_until);
  Pass(kTtl / 4);
  ASSERT_TRUE(Take<action::KeepAlive>().has_value());
  const Instant sent = now();
  Pass(seconds(1));
  Coordinator::Result result = Result(absl::OkStatus());
  result.sent = sent;
  member().OnKeptAlive(result, now());
  EXPECT_EQ(sent + kTtl * 7 / 8, page().lease_until);
}

TEST_F(MemberMasterTest, WithoutTheCoordinatorItFallsSilentAndGoesOnWhenThatComesBack) {
  BeMaster(Mode::kAsync, {"a"});
  for (int i = 0; i < 10; ++i) {
    Pass(kTtl / 8);
    if (Take<action::KeepAlive>().has_value()) {
      member().OnKeptAlive(Result(absl::UnavailableError("no answer")), now());
    }
  }
  EXPECT_EQ(Accepting::kLeaseOver, page().accepting);
  EXPECT_EQ(Role::kMaster, page().role);
  Pass(seconds(1));
  ASSERT_TRUE(Take<action::KeepAlive>().has_value());
  member().OnKeptAlive(Result(absl::OkStatus()), now());
  EXPECT_EQ(Accepting::kYes, page().accepting);
  EXPECT_EQ(Epoch(5), page().epoch);
}

TEST_F(MemberMasterTest, StepsDownWhenTheLeaseIsGone) {
  BeMaster(Mode::kAsync, {"a"});
  Pass(kTtl / 4);
  ASSERT_TRUE(Take<action::KeepAlive>().has_value());
  member().OnKeptAlive(Result(absl::AbortedError("gone")), now());
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_LE(page().lease_until, now());
  EXPECT_TRUE(Take<action::DropSlaves>().has_value());
}

TEST_F(MemberMasterTest, StepsDownWhenAnotherIsElectedAndFollowsIt) {
  BeMaster(Mode::kAsync, {"a", "b"});
  See(View(6, "b", {"a", "b"}, "b"));
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_EQ("b", Take<action::Follow>().value().master);
}

TEST_F(MemberMasterTest, ASlaveThatHasSeenAHigherEpochMakesANewElectionNecessary) {
  BeMaster(Mode::kSync, {"a", "b"});
  const auto start = member().OnHello(
      1, {.member = "b", .history = log_.history, .end = LogOffset(100), .highest_epoch = Epoch(9)},
      now());
  EXPECT_EQ(absl::StatusCode::kUnavailable, start.status().code());
  ASSERT_TRUE(Take<action::Release>().has_value());
  Coordinator::Result released = Result(absl::OkStatus());
  released.view = LeaseGone();
  member().OnReleased(released, now());
  Pass(milliseconds(50));
  EXPECT_EQ(Epoch(10), Take<action::Elect>().value().record.epoch);
}

TEST_F(MemberMasterTest, AFailedLogGivesTheLeaseUpForGood) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  member().OnLogFailed(absl::DataLossError("EIO"), now());
  EXPECT_EQ(Role::kSlave, page().role);
  ASSERT_TRUE(Take<action::Release>().has_value());
  Coordinator::Result released = Result(absl::OkStatus());
  released.view = LeaseGone();
  member().OnReleased(released, now());
  Pass(seconds(100));
  EXPECT_FALSE(Take<action::Elect>().has_value());
}

TEST_F(MemberMasterTest, StrangersAreRefusedByName) {
  BeMaster(Mode::kSync, {"a", "b"});
  for (const char* name : {"x", "a", ""}) {
    EXPECT_EQ(absl::StatusCode::kPermissionDenied,
              member().OnHello(1, {.member = name}, now()).status().code());
  }
}

// ---- switchover ----

TEST_F(MemberMasterTest, HandsOverWhenTheTargetHasAllAndNothingMoreComes) {
  BeMaster(Mode::kSync, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  Append(50);
  AckAll(1);
  ASSERT_TRUE(member().SwitchOver("c", now()).ok());
  EXPECT_EQ(Accepting::kSwitchover, page().accepting);
  Pass(kDrainTime);
  EXPECT_FALSE(Take<action::Release>().has_value()) << "c lacks 50 bytes";
  AckAll(2);
  const auto release = Take<action::Release>();
  ASSERT_TRUE(release.has_value());
  EXPECT_EQ("c", release->record.preferred);
  EXPECT_EQ(Role::kSlave, page().role);
  EXPECT_LE(page().lease_until, now()) << "before the lease is given up";
}

TEST_F(MemberMasterTest, HandsOverAlsoWhenTheLogIsNeverQuiet) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  ASSERT_TRUE(member().SwitchOver("b", now()).ok());
  const Instant asked = now();
  std::optional<action::Release> release;
  while (!(release = Take<action::Release>()).has_value() && now() < asked + seconds(1)) {
    Pass(milliseconds(5));
    if (member().mastership() == nullptr) continue;
    Append(10);
    AckAll(1);
  }
  ASSERT_TRUE(release.has_value());
  EXPECT_GE(now(), asked + kDrainPatience);
  EXPECT_LE(now(), asked + kDrainPatience + milliseconds(10));
}

TEST_F(MemberMasterTest, GoesOnWhenTheTargetDoesNotCatchUp) {
  BeMaster(Mode::kQuorum, {"a", "b", "c"});
  Join(1, "b");
  Join(2, "c");
  Append(50);
  AckAll(1);
  ASSERT_TRUE(member().SwitchOver("c", now()).ok());
  for (int i = 0; i < 10; ++i) {
    Pass(seconds(1));
    Renew();
  }
  EXPECT_EQ(Accepting::kYes, page().accepting);
}

TEST_F(MemberMasterTest, RefusesToHandOverToWhoMayNotBeMaster) {
  BeMaster(Mode::kSync, {"a", "b"});
  Join(1, "b");
  EXPECT_FALSE(member().SwitchOver("c", now()).ok()) << "not connected";
  Connect(2, "c");
  EXPECT_FALSE(member().SwitchOver("c", now()).ok()) << "not in sync";
  EXPECT_FALSE(member().SwitchOver("x", now()).ok());
  EXPECT_TRUE(member().SwitchOver("a", now()).ok()) << "it is already";
  EXPECT_EQ(Accepting::kYes, page().accepting);
}

}  // namespace
}  // namespace dunlin::replicator
