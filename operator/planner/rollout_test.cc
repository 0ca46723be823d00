#include "operator/planner/rollout.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <limits>
#include <memory>
#include <optional>

namespace dunlin::op {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = RolloutStep::Kind;

constexpr int kAny = std::numeric_limits<int>::max();

// One letter a trait: m master, u no member, j joining, l learner, s in sync, r ready (hence
// running), o outdated, t terminating, - not there.
std::vector<Member> Group(const std::vector<std::string>& traits) {
  std::vector<Member> members;
  for (const std::string& text : traits) {
    const auto has = [&](char trait) { return text.find(trait) != std::string::npos; };
    const int ordinal = static_cast<int>(members.size());
    members.push_back({.ordinal = ordinal,
                       .pod = fmt::format("g-{}", ordinal),
                       .object = has('-') ? nullptr : std::make_shared<k8s::Json>(),
                       .running = has('r'),
                       .ready = has('r'),
                       .terminating = has('t'),
                       .outdated = has('o'),
                       .in_sync = has('s'),
                       .master = has('m'),
                       .seat = has('u')   ? std::nullopt
                               : has('j') ? std::make_optional(Seat::kJoining)
                               : has('l') ? std::make_optional(Seat::kLearner)
                                          : std::make_optional(Seat::kVoter)});
  }
  return members;
}

BrokerGroupSpec Spec(const std::string& json = "{}") {
  k8s::Json group;
  group["metadata"]["name"] = "g";
  group["spec"] = k8s::Json::parse(json);
  return BrokerGroupSpec(group);
}

std::string Step(const std::vector<std::string>& traits, const BrokerGroupSpec& spec = Spec()) {
  const RolloutStep step = NextRolloutStep(spec, Group(traits), true, true);
  switch (step.kind) {
    case Kind::kDone:
      return "done";
    case Kind::kWait:
      return "wait: " + step.why;
    case Kind::kDelete:
      return "delete " + step.pod;
    case Kind::kSwitchover:
      return "switch to " + step.pod;
  }
  return "";
}

TEST(RolloutTest, SlavesGoFirstFromTheHighestOrdinalDown) {
  EXPECT_EQ(Step({"msro", "sro", "sro"}), "delete g-2");
  EXPECT_EQ(Step({"msro", "sro", "sr"}), "delete g-1");
  EXPECT_EQ(Step({"sro", "msro", "sr"}), "delete g-0");
}

TEST(RolloutTest, TheMasterHandsOverBeforeItGoes) {
  EXPECT_EQ(Step({"msro", "sr", "sr"}), "switch to g-1");
  EXPECT_EQ(Step({"sro", "msr", "sr"}), "delete g-0");
  EXPECT_EQ(Step({"sr", "msr", "sr"}), "done");
}

TEST(RolloutTest, WhoIsNoMemberIsNotWaitedFor) {
  EXPECT_EQ(Step({"msro", "sro", "ru", "u"}), "delete g-1");
  EXPECT_EQ(Step({"msro", "sr", "ru", "-u"}), "switch to g-1");
  // Who joins is.
  EXPECT_EQ(Step({"msro", "sro", "rj"}), "wait: g-2 is not in sync");
  EXPECT_EQ(Step({"sro", "msr", "r", "sr"}), "wait: g-2 is not in sync");
  EXPECT_EQ(Step({"sro", "msr", "sr", "sr"}), "delete g-0");
  // One alone has nobody to hand over to.
  EXPECT_EQ(Step({"msro", "ru", "ru"}), "delete g-0");
}

TEST(RolloutTest, OneAtATime) {
  EXPECT_EQ(Step({"msro", "sro", "-"}), "wait: g-2 is not there yet");
  EXPECT_EQ(Step({"msro", "sro", "t"}), "wait: g-2 is going");
  EXPECT_EQ(Step({"msro", "sro", ""}), "wait: g-2 is not ready");
  EXPECT_EQ(Step({"msro", "sro", "r"}), "wait: g-2 is not in sync");
  EXPECT_EQ(Step({"msro", "sr", "r"}), "wait: g-2 is not in sync");
}

TEST(RolloutTest, WhatDoesNotServeGoesAtOnce) {
  EXPECT_EQ(Step({"msro", "sro", "o"}), "delete g-2");
  EXPECT_EQ(Step({"msro", "o", "sro"}), "delete g-1");
  // A bad revision that reached g-2, taken back.
  EXPECT_EQ(Step({"msr", "sr", "o"}), "delete g-2");
  // Even without a master: it may be what one waits for.
  EXPECT_EQ(Step({"sro", "sro", "o"}), "delete g-2");
}

TEST(RolloutTest, AReplicatorInSyncDoesNotKeepABrokenBroker) {
  EXPECT_EQ(Step({"msro", "so", "sro"}), "delete g-1");
  EXPECT_EQ(Step({"msro", "so", "o"}), "delete g-2");
  // Its successor shows first that it serves.
  EXPECT_EQ(Step({"msro", "so", "s"}), "wait: g-2 is not ready");
  // Nobody serves; or there is no master.
  EXPECT_EQ(Step({"mso", "so", "so"}), "delete g-2");
  EXPECT_EQ(Step({"so", "so", "so"}), "delete g-2");
  EXPECT_EQ(Step({"so"}), "delete g-0");
  const BrokerGroupSpec two = Spec(R"({"replication": {"minInSyncReplicas": 2}})");
  EXPECT_EQ(Step({"msro", "so", "sro"}, two), "delete g-1");
  EXPECT_EQ(Step({"msro", "so", "ro"}, two),
            "wait: fewer than 2 members would be in sync without g-1");
  EXPECT_EQ(Step({"mso", "so", "r"}, two), "delete g-1");
}

TEST(RolloutTest, ABrokenMasterGoesBeforeThoseThatWaitForIt) {
  EXPECT_EQ(Step({"mso", "sro", "sro"}), "switch to g-1");
  EXPECT_EQ(Step({"so", "msro", "sro"}), "delete g-0");
  EXPECT_EQ(Step({"mso", "sr", "sr"}, Spec(R"({"update": {"masterUpdatePolicy": "Supervised"}})")),
            "switch to g-1");
  EXPECT_EQ(Step({"mso", "sro", "s"}), "wait: g-2 is not ready");
}

TEST(RolloutTest, WithoutAMasterNobodyWhoServesGoes) {
  EXPECT_EQ(Step({"sro", "sro", "sro"}), "wait: there is no master");
}

TEST(RolloutTest, AMemberMayBeAlone) {
  EXPECT_EQ(Step({"msro"}), "delete g-0");
  EXPECT_EQ(Step({"msr"}), "done");
}

TEST(RolloutTest, AsManyStayInSyncAsSendsNeed) {
  const BrokerGroupSpec two = Spec(R"({"replication": {"minInSyncReplicas": 2}})");
  EXPECT_EQ(Step({"msro", "sro", "sro"}, two), "delete g-2");
  EXPECT_EQ(Step({"msro", "ro", "sro"}, two), "wait: g-1 is not in sync");
  // All are needed: it cannot be done without refusing sends for a moment.
  EXPECT_EQ(Step({"msro", "sro"}, two), "delete g-1");
}

TEST(RolloutTest, MethodsAndPolicies) {
  EXPECT_EQ(Step({"msro", "sr"}, Spec(R"({"update": {"masterUpdateMethod": "Restart"}})")),
            "delete g-0");
  EXPECT_THAT(Step({"msro", "sr"}, Spec(R"({"update": {"masterUpdatePolicy": "Supervised"}})")),
              HasSubstr("annotate the group with dunlin.dev/switchover-to=any"));
  EXPECT_THAT(Step({"msro", "sro"}, Spec(R"({"update": {"type": "OnDelete"}})")),
              HasSubstr("wait: update.type is OnDelete"));
}

TEST(RolloutTest, NothingGoesOnHearsay) {
  EXPECT_EQ(NextRolloutStep(Spec(), Group({"msro", "sro"}), true, false).kind, Kind::kWait);
  EXPECT_EQ(NextRolloutStep(Spec(), Group({"msro", "sro"}), false, true).kind, Kind::kWait);
}

TEST(RolloutTest, TheBestSuccessor) {
  EXPECT_EQ(BestSuccessor(Group({"msr", "sr", "sr"}), kAny), "g-1");
  EXPECT_EQ(BestSuccessor(Group({"msr", "sro", "sr"}), kAny), "g-2");
  EXPECT_EQ(BestSuccessor(Group({"msr", "sro", "r"}), kAny), "g-1");
  EXPECT_EQ(BestSuccessor(Group({"sr", "sr", "msr"}), 1), "g-0");
  EXPECT_THAT(BestSuccessor(Group({"msr", "s", "r", "srt", "-"}), kAny), IsEmpty());
}

TEST(ScaleTest, MoreComeAtOnce) {
  EXPECT_EQ(NextScaleStep(Spec(R"({"replicas": 5})"), Group({"msr", "sr"}), 2, false).replicas, 5);
  EXPECT_EQ(NextScaleStep(Spec(R"({"replicas": 3})"), Group({"-", "-", "-"}), 0, false).replicas,
            3);
}

std::string Scale(int replicas, const std::vector<std::string>& traits, int current,
                  const std::string& failover = "{}") {
  const BrokerGroupSpec spec =
      Spec(fmt::format(R"({{"replicas": {}, "failover": {}}})", replicas, failover));
  const ScaleStep step = NextScaleStep(spec, Group(traits), current, true);
  if (!step.add.empty()) return "add " + step.add;
  if (!step.remove.empty()) return "remove " + step.remove;
  if (!step.handover.empty()) return "switch to " + step.handover;
  return fmt::format("{} {}", step.replicas, step.why);
}

TEST(ScaleTest, NewPodsAreAddedWhenTheyRun) {
  EXPECT_EQ(Scale(4, {"msr", "sr", "-u", "-u"}, 4), "4 g-3 does not run yet");
  EXPECT_EQ(Scale(4, {"msr", "sr", "u", "ru"}, 4), "add g-3");
  EXPECT_EQ(Scale(4, {"msr", "sr", "ru", "rj"}, 4), "add g-2");
  EXPECT_EQ(Scale(4, {"msr", "sr", "sr", "rj"}, 4), "4 g-3 joins: it catches up");
  EXPECT_EQ(Scale(3, {"msr", "sr", "rtu"}, 3), "3 g-2 does not run yet");
  EXPECT_EQ(Scale(3, {"msr", "sr", "rl"}, 3), "add g-2");
  // Only a master can.
  EXPECT_EQ(Scale(3, {"sr", "sr", "ru"}, 3), "3 ");
  // One that stays is added before another one goes.
  EXPECT_EQ(Scale(2, {"msr", "ru", "sr"}, 3), "add g-1");
}

TEST(ScaleTest, FewerGoOneAtATimeRemovedBeforeTheirPodGoes) {
  EXPECT_EQ(Scale(1, {"msr", "sr", "sr"}, 3), "remove g-2");
  EXPECT_EQ(Scale(1, {"msr", "sr", "ru"}, 3), "2 one at a time");
  EXPECT_EQ(Scale(1, {"msr", "sr", "rut"}, 2), "2 g-2 is going");
  EXPECT_EQ(Scale(1, {"msr", "sr"}, 2), "remove g-1");
  EXPECT_EQ(Scale(1, {"msr", "ru"}, 2), "1 ");
  // The one that goes may be in any state, those that stay may not.
  EXPECT_EQ(Scale(2, {"msr", "sr", ""}, 3), "remove g-2");
  EXPECT_EQ(Scale(2, {"msr", "sr", "-"}, 3), "remove g-2");
  EXPECT_EQ(Scale(2, {"msr", "sr", "rj"}, 3), "remove g-2");
  EXPECT_EQ(Scale(2, {"msr", "r", "sr"}, 3), "3 g-1 is not in sync");
  EXPECT_EQ(Scale(2, {"sr", "sr", "sr"}, 3), "3 there is no master");
  EXPECT_EQ(NextScaleStep(Spec(R"({"replicas": 2})"), Group({"msr", "sr", "sr"}), 3, false).remove,
            "");
}

TEST(ScaleTest, AMemberWhosePodIsGoneForGoodIsRemoved) {
  EXPECT_EQ(Scale(2, {"msr", "sr", "-"}, 2), "remove g-2");
  EXPECT_EQ(Scale(2, {"msr", "sr", "r"}, 2), "2 ");
}

TEST(ScaleTest, MembersOfAFormerGroupComeBackFirst) {
  EXPECT_EQ(Scale(1, {"-", "-", "-"}, 0), "3 ");
}

TEST(ScaleTest, WithoutARecordNobodyIsAddedOrRemoved) {
  constexpr char kStatic[] = R"({"coordinator": {"type": "Static"}})";
  EXPECT_EQ(Scale(3, {"msr", "sr", "ru"}, 3, kStatic), "3 ");
  EXPECT_EQ(Scale(1, {"msr", "sr", "sr"}, 3, kStatic), "2 one at a time");
}

TEST(ScaleTest, TheMasterHandsOverBeforeItWouldGo) {
  const ScaleStep step =
      NextScaleStep(Spec(R"({"replicas": 2})"), Group({"sr", "sr", "msr"}), 3, true);
  EXPECT_EQ(step.replicas, 3);
  EXPECT_EQ(step.handover, "g-0");
  // At once to one that stays, not to one that goes next.
  EXPECT_EQ(NextScaleStep(Spec(R"({"replicas": 1})"), Group({"sr", "msr", "sr"}), 3, true).handover,
            "g-0");
}

}  // namespace
}  // namespace dunlin::op
