// The small rules, each as a table.
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/replicator/roles/candidacy.h"
#include "services/replicator/roles/confirm_rule.h"
#include "services/replicator/roles/epoch_history.h"
#include "services/replicator/roles/in_sync_set.h"
#include "services/replicator/roles/lease.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Entries = std::vector<EpochHistory::Entry>;

EpochHistory::Entry At(uint32_t epoch, uint64_t start) { return {Epoch(epoch), LogOffset(start)}; }

TEST(EpochHistory, LogsAreTheSameUpToTheLastCommonPoint) {
  struct Case {
    const char* what;
    Entries mine;
    uint64_t my_end;
    Entries theirs;
    uint64_t their_end;
    std::optional<EpochHistory::CommonPoint> common;
  };
  const auto point = [](uint32_t epoch, uint64_t offset) {
    return EpochHistory::CommonPoint{Epoch(epoch), LogOffset(offset)};
  };
  const Case cases[] = {
      {"both empty", {}, 0, {}, 0, std::nullopt},
      {"one empty", {At(1, 0)}, 9, {}, 0, std::nullopt},
      {"the same", {At(1, 0)}, 9, {At(1, 0)}, 9, point(1, 9)},
      {"theirs is shorter", {At(1, 0)}, 9, {At(1, 0)}, 4, point(1, 4)},
      {"mine is shorter", {At(1, 0)}, 4, {At(1, 0)}, 9, point(1, 4)},
      {"an unshipped tail", {At(1, 0), At(2, 5)}, 9, {At(1, 0)}, 8, point(1, 5)},
      {"they lag an epoch", {At(1, 0), At(2, 5)}, 9, {At(1, 0)}, 3, point(1, 3)},
      {"they begun the epoch", {At(1, 0), At(2, 5)}, 9, {At(1, 0), At(2, 5)}, 5, point(2, 5)},
      {"an epoch of theirs alone", {At(1, 0), At(3, 5)}, 9, {At(1, 0), At(2, 5)}, 7, point(1, 5)},
      {"an empty one of theirs alone",
       {At(1, 0), At(3, 5)},
       9,
       {At(1, 0), At(2, 5)},
       5,
       point(1, 5)},
      {"same epoch, other start", {At(1, 0), At(2, 5)}, 9, {At(1, 0), At(2, 4)}, 9, point(1, 4)},
      {"oldest entries expired",
       {At(3, 50), At(4, 70)},
       90,
       {At(2, 20), At(3, 50)},
       80,
       point(3, 70)},
      {"strangers", {At(2, 0)}, 9, {At(1, 0)}, 9, std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(c.common, EpochHistory::LastCommon(EpochHistory(c.mine), LogOffset(c.my_end),
                                                 EpochHistory(c.theirs), LogOffset(c.their_end)));
    EXPECT_EQ(c.common, EpochHistory::LastCommon(EpochHistory(c.theirs), LogOffset(c.their_end),
                                                 EpochHistory(c.mine), LogOffset(c.my_end)));
  }
}

TEST(EpochHistory, TruncationKeepsTheCommonEpochEvenWhenItIsEmpty) {
  EpochHistory history({At(1, 0), At(2, 5), At(3, 5)});
  history.TruncateTo({Epoch(2), LogOffset(5)});
  EXPECT_EQ("1@0 2@5", history.ToString());
}

// A peer's mistake is refused, and ends nobody's process.
TEST(EpochHistory, WhatAPeerSaysIsLookedAtFirst) {
  const auto make = [](Entries entries, uint64_t end) {
    return EpochHistory::Make(std::move(entries), LogOffset(end)).status().code();
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(absl::StatusCode::kOk, make({}, 0));
  EXPECT_EQ(absl::StatusCode::kOk, make({At(1, 0), At(2, 5), At(4, 5)}, 5));
  EXPECT_EQ(kBad, make({At(0, 0)}, 5)) << "no epoch";
  EXPECT_EQ(kBad, make({At(2, 0), At(1, 5)}, 9));
  EXPECT_EQ(kBad, make({At(1, 0), At(1, 5)}, 9));
  EXPECT_EQ(kBad, make({At(1, 5), At(2, 4)}, 9));
  EXPECT_EQ(kBad, make({At(1, 0), At(2, 10)}, 9)) << "behind the end";
}

TEST(EpochHistory, AnEpochBehindTheEndIsNone) {
  EpochHistory history({At(1, 0), At(2, 5)});
  history.CutAt(LogOffset(5));
  EXPECT_EQ("1@0 2@5", history.ToString());
  history.CutAt(LogOffset(4));
  EXPECT_EQ("1@0", history.ToString());
}

TEST(LogPosition, ANewerEpochIsMoreThanAnyLengthOfAnOlderOne) {
  EXPECT_GT((LogPosition{Epoch(2), LogOffset(5)}), (LogPosition{Epoch(1), LogOffset(500)}));
  EXPECT_GT((LogPosition{Epoch(2), LogOffset(6)}), (LogPosition{Epoch(2), LogOffset(5)}));
}

TEST(ConfirmRule, ConfirmsByMode) {
  struct Case {
    const char* what;
    Mode mode;
    std::set<MemberName> counted;
    Acknowledged acknowledged;
    std::optional<uint64_t> confirm;  // of a log that ends at 100, in an epoch from 50 on
  };
  const auto at = [](uint64_t offset) { return LogOffset(offset); };
  const Case cases[] = {
      {"ASYNC asks nobody", Mode::kAsync, {}, {}, 100},
      {"SYNC: the lowest", Mode::kSync, {"a", "b"}, {{"a", at(90)}, {"b", at(70)}}, 70},
      {"SYNC: outsiders do not count",
       Mode::kSync,
       {"a", "b"},
       {{"a", at(90)}, {"b", at(70)}, {"c", at(60)}},
       70},
      {"SYNC: a silent member holds all up",
       Mode::kSync,
       {"a", "b", "c"},
       {{"a", at(90)}, {"b", at(70)}},
       std::nullopt},
      {"SYNC: nothing below the epoch",
       Mode::kSync,
       {"a", "b"},
       {{"a", at(90)}, {"b", at(49)}},
       std::nullopt},
      {"SYNC: the begin of the epoch", Mode::kSync, {"a", "b"}, {{"a", at(90)}, {"b", at(50)}}, 50},
      {"QUORUM: the second of three",
       Mode::kQuorum,
       {"a", "b", "c"},
       {{"a", at(90)}, {"b", at(70)}, {"c", at(60)}},
       70},
      {"QUORUM: one may be silent",
       Mode::kQuorum,
       {"a", "b", "c"},
       {{"a", at(90)}, {"b", at(70)}},
       70},
      {"QUORUM: two may not", Mode::kQuorum, {"a", "b", "c"}, {{"a", at(90)}}, std::nullopt},
      {"QUORUM: half of four is no majority",
       Mode::kQuorum,
       {"a", "b", "c", "d"},
       {{"a", at(90)}, {"b", at(70)}},
       std::nullopt},
      {"QUORUM: learners do not count",
       Mode::kQuorum,
       {"a", "b", "c"},
       {{"a", at(90)}, {"l", at(90)}},
       std::nullopt},
      {"QUORUM: an older epoch is not confirmed by count",
       Mode::kQuorum,
       {"a", "b", "c"},
       {{"a", at(90)}, {"b", at(49)}, {"c", at(49)}},
       std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto confirm = ConfirmRule(c.mode, at(50)).Confirm(c.counted, c.acknowledged, at(100));
    EXPECT_EQ(c.confirm.has_value(), confirm.has_value());
    if (c.confirm.has_value() && confirm.has_value()) EXPECT_EQ(at(*c.confirm), *confirm);
  }
}

TEST(InSyncSet, BothSetsCountWhileAChangeIsUnderWay) {
  InSyncSet set(7, {"a", "b"});
  set.Propose({"a", "c"});
  EXPECT_EQ((std::set<MemberName>{"a", "b", "c"}), set.Counted());
  EXPECT_EQ(2u, set.SureSize());
  set.Observe(7, {"a", "b"});  // read before the change may have come: says nothing
  EXPECT_TRUE(set.changing());
  set.Observe(8, {"a", "c"});
  EXPECT_FALSE(set.changing());
  EXPECT_EQ((std::set<MemberName>{"a", "c"}), set.Counted());
}

TEST(InSyncSet, AChangeThatCanNeverHappenCountsNoMore) {
  InSyncSet set(7, {"a", "b"});
  set.Propose({"a"});
  EXPECT_EQ(1u, set.SureSize());
  set.Observe(9, {"a", "b"});
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), set.Counted());
  EXPECT_EQ(2u, set.SureSize());
}

TEST(LeaseClock, CountsFromWhenTheRequestWasSentLessAnEighth) {
  const Instant sent = Instant() + seconds(100);
  LeaseClock lease;
  EXPECT_FALSE(lease.HeldAt(sent));
  lease.Extend(sent, seconds(8));
  EXPECT_EQ(sent + seconds(7), lease.until());
  EXPECT_TRUE(lease.HeldAt(sent + milliseconds(6999)));
  EXPECT_FALSE(lease.HeldAt(sent + seconds(7)));
  EXPECT_EQ(sent + seconds(2), lease.RenewAt());
  lease.Extend(sent - seconds(1), seconds(8));  // an older answer
  EXPECT_EQ(sent + seconds(7), lease.until());
  lease.End();
  EXPECT_FALSE(lease.HeldAt(sent));
}

TEST(LeaseClock, OneForEverIsNotRenewed) {
  LeaseClock lease;
  lease.Extend(Instant() + seconds(1), Duration::max());
  EXPECT_EQ(kNever, lease.until());
  EXPECT_EQ(kNever, lease.RenewAt());
}

class CandidacyTest : public testing::Test {
 protected:
  static GroupView View(std::set<MemberName> in_sync) {
    return {.revision = 5,
            .version = 5,
            .record = GroupRecord{.epoch = Epoch(4),
                                  .master = "b",
                                  .in_sync = std::move(in_sync),
                                  .preferred = "",
                                  .unclean_epoch = Epoch(0)},
            .lease = {}};
  }
  Candidacy Make(const GroupView& view) {
    return Candidacy(options_, {Epoch(4), LogOffset(100)}, view, Epoch(4), kStart);
  }
  static PeerState Has(uint32_t epoch, uint64_t end) {
    return {.position = {Epoch(epoch), LogOffset(end)}, .highest_epoch = Epoch(epoch)};
  }

  static constexpr Instant kStart = Instant() + seconds(50);
  MemberOptions options_{
      .name = "b", .members = {"a", "b", "c"}, .learners = {"l"}, .mode = Mode::kSync};
};

TEST_F(CandidacyTest, WhoMayBeElected) {
  const GroupView view = View({"b", "c"});
  EXPECT_EQ("", WhyNotElectable(options_, view, true));
  options_.name = "a";
  EXPECT_NE("", WhyNotElectable(options_, view, true)) << "outside of the in-sync set";
  options_.mode = Mode::kAsync;
  EXPECT_NE("", WhyNotElectable(options_, view, true));
  options_.mode = Mode::kQuorum;
  EXPECT_EQ("", WhyNotElectable(options_, view, true));
  EXPECT_NE("", WhyNotElectable(options_, view, false)) << "an empty new disk in place of a member";
  EXPECT_EQ("", WhyNotElectable(options_, GroupView{}, false)) << "the group's first master";
  GroupView held = view;
  held.lease = LeaseHolder{"c", Epoch(4)};
  EXPECT_NE("", WhyNotElectable(options_, held, true));
  options_.name = "l";
  EXPECT_NE("", WhyNotElectable(options_, view, true)) << "a learner";
}

TEST_F(CandidacyTest, WhoHasMoreStandsEarlier) {
  struct Case {
    const char* what;
    std::vector<std::pair<MemberName, PeerState>> peers;
    Duration wait;
  };
  const Case cases[] = {
      {"nobody answers", {}, milliseconds(50)},
      {"all have less", {{"a", Has(4, 99)}, {"c", Has(3, 500)}}, milliseconds(0)},
      {"one has more", {{"a", Has(4, 101)}, {"c", Has(4, 99)}}, milliseconds(50)},
      {"a newer epoch is more", {{"a", Has(5, 1)}, {"c", Has(5, 2)}}, milliseconds(100)},
      {"equal: by name", {{"a", Has(4, 100)}, {"c", Has(4, 100)}}, milliseconds(50)},
      {"one answers, with more", {{"c", Has(4, 101)}}, milliseconds(100)},
      {"learners do not matter",
       {{"a", Has(4, 1)}, {"c", Has(4, 1)}, {"l", Has(4, 900)}},
       milliseconds(0)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Candidacy candidacy = Make(View({"a", "b", "c"}));
    for (const auto& [peer, state] : c.peers) candidacy.OnPeerState(peer, state);
    EXPECT_EQ(kStart + c.wait, candidacy.wake_at());
    if (c.wait > Duration(0)) {
      EXPECT_EQ(Candidacy::Step::kWait, candidacy.Next(kStart + c.wait - milliseconds(1)));
    }
    EXPECT_EQ(Candidacy::Step::kElect, candidacy.Next(kStart + c.wait));
  }
}

TEST_F(CandidacyTest, OthersLeaveTimeToWhomASwitchoverChose) {
  GroupView view = View({"a", "b", "c"});
  view.record->preferred = "c";
  EXPECT_EQ(kStart + seconds(1), Make(view).wake_at());
  view.record->preferred = "b";
  EXPECT_EQ(kStart, Make(view).wake_at());
}

TEST_F(CandidacyTest, TheEpochIsAboveAllThatWasHeardOf) {
  Candidacy candidacy = Make(View({"a", "b", "c"}));
  candidacy.OnPeerState("a", {.position = {Epoch(4), LogOffset(1)}, .highest_epoch = Epoch(9)});
  EXPECT_EQ(Candidacy::Step::kElect, candidacy.Next(kStart + seconds(1)));
  EXPECT_EQ(Epoch(10), candidacy.epoch());
}

class QuorumCandidacyTest : public CandidacyTest {
 protected:
  QuorumCandidacyTest() {
    options_.mode = Mode::kQuorum;
    candidacy_.emplace(options_, LogPosition{Epoch(4), LogOffset(100)}, View({"a", "b", "c"}),
                       Epoch(4), kStart);
    EXPECT_EQ(Candidacy::Step::kPromise, candidacy_->Next(kStart + milliseconds(50)));
  }
  Candidacy::Step Next() { return candidacy_->Next(kStart + milliseconds(100)); }
  static PromiseAnswer Granted(uint32_t epoch, LogPosition position) {
    return {.granted = true, .epoch = Epoch(epoch), .position = position, .reason = ""};
  }
  std::optional<Candidacy> candidacy_;
};

TEST_F(QuorumCandidacyTest, NeedsAMajorityThatHasNoMoreThanItself) {
  EXPECT_EQ(Candidacy::Step::kWait, Next());
  candidacy_->OnOwnPromise();
  EXPECT_EQ(Candidacy::Step::kWait, Next());
  candidacy_->OnPromiseAnswer("a", Granted(5, {Epoch(4), LogOffset(100)}));
  EXPECT_EQ(Candidacy::Step::kElect, Next());
}

TEST_F(QuorumCandidacyTest, ItsOwnPromiseHasToBeDurable) {
  candidacy_->OnPromiseAnswer("a", Granted(5, {Epoch(4), LogOffset(10)}));
  candidacy_->OnPromiseAnswer("c", Granted(5, {Epoch(4), LogOffset(10)}));
  EXPECT_EQ(Candidacy::Step::kWait, Next());
  candidacy_->OnOwnPromise();
  EXPECT_EQ(Candidacy::Step::kElect, Next());
}

TEST_F(QuorumCandidacyTest, YieldsToALongerLog) {
  candidacy_->OnOwnPromise();
  candidacy_->OnPromiseAnswer("a", Granted(5, {Epoch(4), LogOffset(101)}));
  EXPECT_EQ(Candidacy::Step::kGiveUp, Next());
}

TEST_F(QuorumCandidacyTest, YieldsToAHigherPromise) {
  candidacy_->OnOwnPromise();
  candidacy_->OnPromiseAnswer(
      "a", {.granted = false, .epoch = Epoch(8), .position = {}, .reason = "promised to another"});
  EXPECT_EQ(Candidacy::Step::kGiveUp, Next());
  EXPECT_EQ(Epoch(8), candidacy_->highest_epoch());
}

TEST_F(QuorumCandidacyTest, PromisesOfLearnersAndOfOtherEpochsDoNotCount) {
  candidacy_->OnOwnPromise();
  candidacy_->OnPromiseAnswer("l", Granted(5, {Epoch(4), LogOffset(1)}));
  candidacy_->OnPromiseAnswer("a", Granted(4, {Epoch(4), LogOffset(1)}));
  EXPECT_EQ(Candidacy::Step::kWait, Next());
}

TEST_F(QuorumCandidacyTest, WithoutAMajorityInTimeItGivesUp) {
  candidacy_->OnOwnPromise();
  EXPECT_EQ(Candidacy::Step::kGiveUp, candidacy_->Next(candidacy_->wake_at()));
}

}  // namespace
}  // namespace dunlin::replicator
