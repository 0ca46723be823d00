// Groups in which nothing is real but the planner: pods come and go, fall behind and catch up,
// masters die and are elected, specs are changed at any moment, what is observed is old. What a
// plan does must never make things worse than the rules allow, and when the faults are over every
// group must come to rest as its spec says.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>

#include "operator/k8s/conditions.h"
#include "operator/planner/members.h"
#include "operator/planner/objects.h"
#include "operator/planner/observed.h"
#include "operator/planner/planner.h"

namespace dunlin::op {
namespace {

using k8s::Json;

constexpr char kPreferred[] = "g-0";
// The image whose servers never become ready.
constexpr char kBroken[] = "v3";

struct Pod {
  std::string uid;
  std::string revision;
  std::string image;
  std::string role;
  bool ready = false;
  bool in_sync = false;
  int going = 0;   // steps until it is gone; 0: it stays
  int delays = 0;  // steps until it is ready, then in sync
};

// A StatefulSet's controller, kubelets, a coordinator; and an operator, which is the planner.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {
    group_ = Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1", "kind": "BrokerGroup",
        "metadata": {"name": "g", "namespace": "s", "uid": "u", "generation": 1},
        "spec": {"nameServers": ["n:1"], "storage": {"size": "1Gi"}, "image": "v0",
                 "replication": {"minInSyncReplicas": 1}}})");
    group_["spec"]["replicas"] = 1 + Random(5);
    // Time stands still.
    if (Random(2) == 0) {
      group_["spec"]["failover"] = {{"preferredMaster", kPreferred}, {"minIntervalSeconds", 0}};
    }
  }

  void Step(bool faults) {
    if (faults) Disturb();
    RunControllers();
    RunCoordinator();
    // Old news now and then; what was seen once is not seen newer and then older again.
    if (!faults || Random(4) != 0) seen_ = Look();
    if (seen_.has_value()) Operate(*seen_);
  }

  // No more faults: the coordinator can be asked, and a bad image is taken back.
  void Calm() {
    asked_ = true;
    if (group_["spec"]["image"] != kBroken) return;
    group_["spec"]["image"] = "v0";
    Changed();
  }

  std::string Fault() const { return fault_; }
  bool AtRest() const {
    return last_status_.is_object() && k8s::IsConditionTrue(last_status_["conditions"], "Ready") &&
           static_cast<int>(pods_.size()) == k8s::IntAt(group_, {"spec", "replicas"}) &&
           roster_.size() == pods_.size() &&
           (!group_["spec"].contains("failover") || master_ == kPreferred) &&
           std::all_of(pods_.begin(), pods_.end(), [&](const auto& entry) {
             return entry.second.revision == UpdateRevision() && entry.second.ready &&
                    IsVoter(entry.first);
           });
  }
  std::string Describe() const {
    std::string text = fmt::format("master {} revision {} status {}\n", master_, UpdateRevision(),
                                   k8s::PrintJson(last_status_));
    for (const auto& [name, pod] : pods_) {
      text += fmt::format("{} {} ready {} in sync {} going {}\n", name, pod.revision, pod.ready,
                          pod.in_sync, pod.going);
    }
    for (const auto& [name, seat] : roster_) {
      text += fmt::format("member {} seat {}\n", name, static_cast<int>(seat));
    }
    return text;
  }
  int Deletions() const { return deletions_; }
  int Switchovers() const { return switchovers_; }
  int MemberChanges() const { return member_changes_; }

 private:
  struct Snapshot {
    Observed observed;
    int deletions = 0;  // that had been made by then
  };

  uint32_t Random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }

  // ---- the world ----

  void Disturb() {
    switch (Random(40)) {
      case 0:
        group_["spec"]["image"] = fmt::format("v{}", Random(4));
        Changed();
        break;
      case 1:
        group_["spec"]["replicas"] = 1 + Random(5);
        Changed();
        break;
      case 2:
        if (Pod* const pod = AnyPod()) {
          pod->in_sync = false;
          pod->delays = static_cast<int>(1 + Random(10));
        }
        break;
      case 3:
        if (Pod* const pod = AnyPod()) {
          pod->ready = false;
          if (Random(2) == 0) pod->in_sync = false;  // or its broker alone fails
          pod->delays = static_cast<int>(1 + Random(20));
        }
        break;
      case 4:
        group_["spec"]["replication"]["minInSyncReplicas"] =
            1 + Random(static_cast<uint32_t>(k8s::IntAt(group_, {"spec", "replicas"})));
        Changed();
        break;
      case 5:
        asked_ = !asked_;
        break;
      case 6:
        if (Pod* const pod = AnyPod())
          pod->going = static_cast<int>(1 + Random(3));  // somebody else deletes it
        break;
      default:
        break;
    }
  }
  void Changed() {
    Json& spec = group_["spec"];
    if (k8s::IntAt(spec, {"replication", "minInSyncReplicas"}) > k8s::IntAt(spec, {"replicas"})) {
      spec["replication"]["minInSyncReplicas"] = spec["replicas"];
    }
    group_["metadata"]["generation"] = k8s::GenerationOf(group_) + 1;
  }
  Pod* AnyPod() {
    if (pods_.empty()) return nullptr;
    return &std::next(pods_.begin(), Random(static_cast<uint32_t>(pods_.size())))->second;
  }
  std::string UpdateRevision() const {
    return set_.is_null() ? "" : Fingerprint(k8s::PrintJson(set_["spec"]["template"]));
  }

  void RunControllers() {
    if (set_.is_null()) return;
    const int64_t replicas = k8s::IntAt(set_, {"spec", "replicas"});
    for (auto entry = pods_.begin(); entry != pods_.end();) {
      Pod& pod = entry->second;
      const int64_t ordinal = std::stoi(entry->first.substr(2));
      if (ordinal >= replicas && pod.going == 0) pod.going = 2;
      if (pod.going > 0) pod.ready = false;
      if (pod.going > 0 && --pod.going == 0) {
        entry = pods_.erase(entry);
        continue;
      }
      if (pod.delays > 0) {
        --pod.delays;
      } else if (pod.going == 0 && pod.image != kBroken) {
        pod.in_sync = pod.ready && roster_.contains(entry->first);  // one step after the other
        if (pod.in_sync) roster_[entry->first] = Seat::kVoter;
        pod.ready = true;
      }
      ++entry;
    }
    for (int64_t i = 0; i < replicas; ++i) {
      const std::string name = fmt::format("g-{}", i);
      if (pods_.contains(name)) continue;
      pods_[name] = {.uid = fmt::format("uid-{}", ++uids_),
                     .revision = UpdateRevision(),
                     .image = set_["spec"]["template"]["spec"]["containers"][0]["image"],
                     .role = "",
                     .delays = static_cast<int>(1 + Random(5))};
    }
    // It sees its newest spec a moment later.
    if (Random(2) == 0) set_["status"]["observedGeneration"] = k8s::GenerationOf(set_);
    set_["status"]["updateRevision"] = UpdateRevision();
  }

  bool IsVoter(const std::string& name) const {
    const auto found = roster_.find(name);
    return found != roster_.end() && found->second == Seat::kVoter;
  }

  // Somebody who is in sync, once the master is gone. The first election writes the list of the
  // configuration into the record.
  void RunCoordinator() {
    const auto master = pods_.find(master_);
    if (master != pods_.end() && master->second.ready) {
      master->second.in_sync = true;
      return;
    }
    master_.clear();
    if (epoch_ == 0 && !set_.is_null()) {
      const Json& annotations = set_["spec"]["template"]["metadata"]["annotations"];
      const int listed = std::stoi(annotations[std::string(kMembersAnnotation)].get<std::string>());
      roster_.clear();
      for (int i = 0; i < listed; ++i) roster_[fmt::format("g-{}", i)] = Seat::kVoter;
    }
    std::vector<std::string> able;
    for (const auto& [name, pod] : pods_) {
      if (pod.ready && IsVoter(name) && (pod.in_sync || epoch_ == 0)) able.push_back(name);
    }
    if (able.empty()) return;
    master_ = able[Random(static_cast<uint32_t>(able.size()))];
    pods_[master_].in_sync = true;
    ++epoch_;
  }

  // ---- the operator ----

  Snapshot Look() const {
    Observed observed;
    observed.group = std::make_shared<const Json>(group_);
    observed.applied = applied_;
    if (!set_.is_null()) observed.stateful_set = std::make_shared<const Json>(set_);
    Coordination coordination{.epoch = epoch_, .master = master_, .in_sync = {}};
    if (epoch_ > 0) coordination.members = roster_;
    for (const auto& [name, pod] : pods_) {
      Json json;
      json["metadata"] = {
          {"name", name},
          {"namespace", "s"},
          {"uid", pod.uid},
          {"labels",
           {{"controller-revision-hash", pod.revision}, {std::string(kRoleLabel), pod.role}}}};
      json["status"]["phase"] = pod.image == kBroken ? "Pending" : "Running";
      if (pod.going > 0) json["metadata"]["deletionTimestamp"] = "now";
      k8s::SetCondition(
          json["status"]["conditions"],
          {"Ready", pod.ready ? k8s::ConditionStatus::kTrue : k8s::ConditionStatus::kFalse, "X",
           ""},
          0, FromUnixMillis(0));
      observed.pods.push_back(std::make_shared<const Json>(std::move(json)));
      if (pod.in_sync) coordination.in_sync.insert(name);
    }
    if (asked_) observed.coordination = coordination;
    return {.observed = std::move(observed), .deletions = deletions_};
  }

  void Operate(const Snapshot& seen) {
    const Plan plan = PlanBrokerGroup(seen.observed, {.image = "own"}, FromUnixMillis(0));
    last_status_ = plan.status;
    for (const Plan::Apply& apply : plan.applies) Carry(apply, seen);
    if (plan.switchover.has_value()) SwitchOver(*plan.switchover);
    if (plan.deletion.has_value()) Delete(*plan.deletion, seen);
    if (plan.member_change.has_value()) ChangeMembers(*plan.member_change, seen);
    if (plan.deletion.has_value() + plan.switchover.has_value() + plan.member_change.has_value() >
        1) {
      fault_ = "more than one of a deletion, a switchover and another member in one plan";
    }
  }

  void Carry(const Plan::Apply& apply, const Snapshot& seen) {
    const std::string name = k8s::KeyOf(apply.object).name;
    if (apply.type.kind == "Pod") {
      const auto pod = pods_.find(name);
      if (pod == pods_.end() || pod->second.uid != k8s::UidOf(apply.object)) return;
      pod->second.role = k8s::LabelOf(apply.object, kRoleLabel);
      return;
    }
    applied_[fmt::format("{}/{}", apply.type.kind, name)] =
        k8s::AnnotationOf(apply.object, kFingerprint);
    if (apply.type.kind != "StatefulSet") return;
    const int64_t before = set_.is_null() ? 0 : k8s::IntAt(set_, {"spec", "replicas"});
    const int64_t after = k8s::IntAt(apply.object, {"spec", "replicas"});
    const int64_t generation = set_.is_null() ? 0 : k8s::GenerationOf(set_);
    const Json status = set_.is_null() ? Json::object() : set_["status"];
    set_ = apply.object;
    set_["metadata"]["generation"] = generation + 1;
    set_["status"] = status;
    if (after < before - 1) fault_ = "more than one member less";
    if (after < before &&
        seen.observed.coordination->members.contains(fmt::format("g-{}", after))) {
      fault_ = "a pod goes whose member was not removed";
    }
    const Json& annotations = set_["spec"]["template"]["metadata"]["annotations"];
    if (before > 0 && annotations[std::string(kMembersAnnotation)] != listed_before_) {
      fault_ = "another list of members for members that exist";
    }
    listed_before_ = annotations[std::string(kMembersAnnotation)];
  }

  void SwitchOver(const Plan::Switchover& switchover) {
    const auto to = pods_.find(switchover.to);
    // The group declines what is of another epoch, or cannot be.
    if (switchover.epoch != epoch_ || to == pods_.end() || !to->second.ready ||
        !to->second.in_sync || to->second.going > 0) {
      return;
    }
    master_ = switchover.to;
    ++epoch_;
    ++switchovers_;
  }

  // By the master, which declines what is of another epoch, or at any other time.
  void ChangeMembers(const Plan::MemberChange& change, const Snapshot& seen) {
    if (change.address.empty() && change.member == seen.observed.coordination->master) {
      fault_ = "the master is to be removed: " + change.member;
    }
    if (change.epoch != epoch_ || master_.empty() || change.member == master_ || Random(4) == 0) {
      return;
    }
    ++member_changes_;
    if (!change.address.empty()) {
      roster_.try_emplace(change.member, Seat::kJoining);
      return;
    }
    roster_.erase(change.member);
    if (const auto pod = pods_.find(change.member); pod != pods_.end()) pod->second.in_sync = false;
  }

  // As plan.h asks: not from a state older than the last deletion; and that pod alone.
  void Delete(const Plan::Deletion& deletion, const Snapshot& seen) {
    if (seen.deletions != deletions_) return;
    const auto pod = pods_.find(deletion.pod.name);
    if (pod == pods_.end() || pod->second.uid != deletion.uid) return;
    const bool current = seen_->observed.coordination.has_value() && asked_;
    if (current) CheckDeletion(deletion.pod.name, seen);
    pod->second.going = 2;
    ++deletions_;
  }

  // By what the planner could know.
  void CheckDeletion(const std::string& name, const Snapshot& seen) {
    const Coordination& coordination = *seen.observed.coordination;
    const bool served = coordination.in_sync.contains(name) && WasReady(seen, name);
    for (const k8s::Object& pod : seen.observed.pods) {
      const std::string other = k8s::KeyOf(*pod).name;
      if (other == name) {
        if (k8s::IsBeingDeleted(*pod)) fault_ = "deleted twice: " + name;
        continue;
      }
      if (!coordination.members.empty() && !coordination.members.contains(other)) continue;
      if (served && (k8s::IsBeingDeleted(*pod) || !coordination.in_sync.contains(other))) {
        fault_ = fmt::format("{} goes while {} is not in sync", name, other);
      }
    }
    if (name == coordination.master && coordination.members.size() > 1) {
      fault_ = "the master goes without handing over: " + name;
    }
  }

  static bool WasReady(const Snapshot& seen, const std::string& name) {
    return std::any_of(seen.observed.pods.begin(), seen.observed.pods.end(),
                       [&](const k8s::Object& pod) {
                         return k8s::KeyOf(*pod).name == name &&
                                k8s::IsConditionTrue((*pod)["status"]["conditions"], "Ready");
                       });
  }

  std::mt19937 random_;
  Json group_;
  Json set_;  // the StatefulSet; null: none
  std::map<std::string, Pod> pods_;
  std::map<std::string, Seat> roster_;  // of the record, from the first election on
  Json listed_before_;                  // how many the configuration lists
  std::map<std::string, std::string> applied_;
  std::string master_;
  int64_t epoch_ = 0;
  bool asked_ = true;  // whether the coordinator can be
  std::optional<Snapshot> seen_;
  Json last_status_;
  int uids_ = 0;
  int deletions_ = 0;
  int switchovers_ = 0;
  int member_changes_ = 0;
  std::string fault_;
};

TEST(SimulationTest, RulesHoldAndGroupsComeToRest) {
  int deletions = 0;
  int switchovers = 0;
  int member_changes = 0;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    World world(seed);
    for (int step = 0; step < 300; ++step) {
      world.Step(true);
      ASSERT_EQ(world.Fault(), "") << "seed " << seed << " step " << step << "\n"
                                   << world.Describe();
    }
    world.Calm();
    int steps = 0;
    while (!world.AtRest() && steps < 400) {
      world.Step(false);
      ++steps;
      ASSERT_EQ(world.Fault(), "") << "seed " << seed << "\n" << world.Describe();
    }
    ASSERT_TRUE(world.AtRest()) << "seed " << seed << "\n" << world.Describe();
    deletions += world.Deletions();
    switchovers += world.Switchovers();
    member_changes += world.MemberChanges();
  }
  // That there was something to see.
  EXPECT_GT(deletions, 60);
  EXPECT_GT(switchovers, 12);
  EXPECT_GT(member_changes, 60);
}

}  // namespace
}  // namespace dunlin::op
