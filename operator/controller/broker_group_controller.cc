#include "operator/controller/broker_group_controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"

#include "operator/controller/random_text.h"
#include "operator/controller/volume_growth.h"
#include "operator/k8s/api_error.h"
#include "operator/k8s/conditions.h"
#include "operator/planner/config_text.h"
#include "operator/planner/coordination.h"
#include "operator/planner/credentials.h"
#include "operator/planner/drain.h"
#include "operator/planner/outside.h"
#include "operator/planner/planner.h"
#include "operator/planner/resource_types.h"
#include "operator/planner/spec.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// Between two requests to a group, of which the first was declined or has not shown yet.
constexpr std::chrono::seconds kPatience{10};
// And when it was only too early for it.
constexpr std::chrono::seconds kTooEarly{2};
// When what is cached turned out to be of the past.
constexpr std::chrono::seconds kSoon{1};
constexpr int kSecretBytes = 32;
constexpr char kSwitchoverFailed[] = "SwitchoverFailed";
constexpr char kMemberChangeFailed[] = "MemberChangeFailed";

std::string ReplicatorAt(std::string_view host) {
  const bool ipv6 = host.find(':') != std::string_view::npos;
  return ipv6 ? fmt::format("[{}]:{}", host, kReplicatorPort)
              : fmt::format("{}:{}", host, kReplicatorPort);
}

int64_t EpochOf(const Observed& observed) {
  return observed.coordination.has_value() ? observed.coordination->epoch : 0;
}

// Of the same cluster, whose clients are taken or refused by other rules.
std::vector<std::string> OthersAccess(const Caches& caches, const Json& group) {
  const BrokerGroupSpec own(group);
  const std::string names(k8s::StringAt(group, {"spec", "nameServiceRef", "name"}));
  std::vector<std::string> others;
  for (const k8s::Object& object : caches.Referring(BrokerGroupType(), {own.space, names})) {
    const BrokerGroupSpec other(*object);
    if (other.cluster_name != own.cluster_name || k8s::IsBeingDeleted(*object)) continue;
    if (other.access_enabled != own.access_enabled ||
        (own.access_enabled && other.super_user_secret != own.super_user_secret)) {
      others.push_back(other.name);
    }
  }
  return others;
}

// While what a group was asked for is not done, the status says why.
void ShowFailure(const Json& group, std::string type, const absl::Status& failed, Timestamp now,
                 Json& status) {
  if (failed.ok()) return;
  Json conditions = Json::array();
  if (const Json* const before = k8s::Find(group, {"status", "conditions"})) conditions = *before;
  const bool declined = !absl::IsUnavailable(failed) && !absl::IsDeadlineExceeded(failed);
  k8s::SetCondition(conditions,
                    {.type = type,
                     .status = k8s::ConditionStatus::kTrue,
                     .reason = declined ? "Declined" : "Unreachable",
                     .message = std::string(failed.message())},
                    k8s::GenerationOf(group), now);
  status["conditions"].push_back(*k8s::FindCondition(conditions, type));
}

}  // namespace

// The one of its kind that was made last.
struct BrokerGroupController::Request {
  std::string what;
  int64_t epoch = 0;
  Timestamp at{};
  std::chrono::seconds again = kPatience;  // after which it may be asked for again
  absl::Status answer;
};

// What was done last for a group.
struct BrokerGroupController::Memory {
  Written written;
  bool has_secret = false;
  std::string deleted_pod;  // its UID
  Request switchover;
  Request member_change;
  VolumeGrowth growth;
};

struct BrokerGroupController::Round {
  Observed observed;
  Plan plan;
  std::shared_ptr<Memory> memory;
};

BrokerGroupController::BrokerGroupController(Surroundings surroundings, Defaults defaults)
    : around_(surroundings), defaults_(std::move(defaults)) {}

absl::StatusOr<std::chrono::milliseconds> BrokerGroupController::Reconcile(
    const k8s::ObjectKey& key) {
  Round round;
  round.observed.group = around_.caches.Get(BrokerGroupType(), key);
  if (round.observed.group == nullptr) {
    MutexLock lock(mutex_);
    memories_.erase(key);
    return std::chrono::milliseconds(0);
  }
  round.memory = MemoryOf(*round.observed.group);
  Observe(round);
  round.plan = PlanBrokerGroup(round.observed, defaults_, around_.clock.Now());
  absl::Status done = CarryOut(round);
  if (absl::IsAlreadyExists(done)) {
    // Nobody tells us when it goes: that is found out by looking again.
    round.observed.taken = FromAbsl(done.message());
    round.plan.status = PlanBrokerGroup(round.observed, defaults_, around_.clock.Now()).status;
    round.plan.look_again = kPatience;
    done = absl::OkStatus();
  }
  // People see what is the case also when not all could be done.
  RETURN_IF_ERROR(WriteStatus(round));
  RETURN_IF_ERROR(done);
  return round.plan.look_again;
}

std::shared_ptr<BrokerGroupController::Memory> BrokerGroupController::MemoryOf(const Json& group) {
  MutexLock lock(mutex_);
  std::shared_ptr<Memory>& memory = memories_[k8s::KeyOf(group)];
  // One that was deleted and made again is another one.
  if (memory == nullptr || memory->written.uid != k8s::UidOf(group)) {
    memory = std::make_shared<Memory>();
    memory->written.uid = k8s::UidOf(group);
  }
  return memory;
}

void BrokerGroupController::Observe(Round& round) {
  Observed& observed = round.observed;
  const Json& group = *observed.group;
  const k8s::ObjectKey key = k8s::KeyOf(group);
  if (const auto name = k8s::StringAt(group, {"spec", "nameServiceRef", "name"}); !name.empty()) {
    observed.name_service = around_.caches.Get(NameServiceType(), {key.space, std::string(name)});
    observed.others_access = OthersAccess(around_.caches, group);
  }
  observed.super_user = SuperUserOf(group);
  observed.stateful_set = around_.caches.Get(StatefulSetType(), key);
  observed.pods = around_.caches.OfGroup(PodType(), key);
  if (around_.caches.Watches(NodeType())) {
    for (const k8s::Object& pod : observed.pods) {
      std::string name(k8s::StringAt(*pod, {"spec", "nodeName"}));
      const k8s::Object node = around_.caches.Get(NodeType(), {"", name});
      if (node != nullptr && IsToBeEmptied(*node)) observed.emptied_nodes.insert(std::move(name));
    }
  }
  for (const k8s::ResourceType& type : OwnedTypes()) {
    if (type == PodType()) continue;
    AddObserved(type, around_.caches.OfGroup(type, key), round.memory->written, observed.applied,
                observed.live);
  }
  observed.claims = around_.caches.OfGroup(PersistentVolumeClaimType(), key);
  observed.services = around_.caches.OfGroup(ServiceType(), key);
  for (const k8s::Object& file : around_.caches.OfGroup(ConfigMapType(), key)) {
    if (k8s::KeyOf(*file).name == OutsideAddressesOf(BrokerGroupSpec(group))) {
      observed.outside_addresses = file;
    }
  }
  observed.growth_refused = round.memory->growth.RefusalOf(group, around_.clock.Now());
  observed.coordination = AskWhoIsMaster(round);
}

absl::StatusOr<std::string> BrokerGroupController::SuperUserOf(const Json& group) const {
  const BrokerGroupSpec spec(group);
  if (!spec.access_enabled) return std::string();
  const k8s::Object secret = around_.caches.Get(SecretType(), {spec.space, spec.super_user_secret});
  ASSIGN_OR_RETURN(Credentials credentials, CredentialsOf(secret.get(), spec.super_user_secret));
  return std::move(credentials.access_key);
}

std::optional<Coordination> BrokerGroupController::AskWhoIsMaster(const Round& round) {
  const BrokerGroupSpec spec(*round.observed.group);
  if (spec.coordinator == BrokerGroupSpec::Coordinator::kKubernetes) {
    const k8s::Object lease = around_.caches.Get(LeaseType(), {spec.space, spec.lease});
    return lease == nullptr ? std::nullopt : CoordinationOf(*lease);
  }
  // Other coordinators are the members' own; they say what they know.
  std::vector<std::string> addresses;
  for (const k8s::Object& pod : round.observed.pods) {
    const std::string_view ip = k8s::StringAt(*pod, {"status", "podIP"});
    if (!ip.empty()) addresses.push_back(ReplicatorAt(ip));
  }
  absl::StatusOr<Coordination> said = around_.control.Ask(addresses);
  if (!said.ok()) return std::nullopt;
  // A master that did not answer this once is still one, by the words of others: then nothing is
  // known of who it is, and everything stays as it is. Unless its pod is not well either.
  const bool may_serve = std::any_of(
      round.observed.pods.begin(), round.observed.pods.end(), [&](const k8s::Object& pod) {
        const Json* const conditions = k8s::Find(*pod, {"status", "conditions"});
        return k8s::KeyOf(*pod).name == said->hearsay && conditions != nullptr &&
               k8s::IsConditionTrue(*conditions, "Ready");
      });
  if (may_serve) return std::nullopt;
  return *std::move(said);
}

absl::Status BrokerGroupController::CarryOut(Round& round) {
  RETURN_IF_ERROR(MakeSecret(round));
  RETURN_IF_ERROR(ApplyAll(round));
  RETURN_IF_ERROR(GrowVolumes(round));
  RETURN_IF_ERROR(DeletePod(round));
  RETURN_IF_ERROR(SwitchOver(round));
  RETURN_IF_ERROR(ChangeMembers(round));
  RETURN_IF_ERROR(AnswerAnnotations(round));
  for (const k8s::Event& event : round.plan.events) {
    around_.events.Record(*round.observed.group, event);
  }
  return absl::OkStatus();
}

absl::Status BrokerGroupController::MakeSecret(Round& round) {
  if (!round.plan.secret.has_value() || round.memory->has_secret) return absl::OkStatus();
  Json secret = round.plan.secret->object;
  const absl::StatusOr<Json> there = around_.client.Run(k8s::Get(SecretType(), k8s::KeyOf(secret)));
  if (there.ok()) {
    const std::string_view owner = k8s::ControllerUidOf(*there);
    if (!owner.empty() && owner != round.memory->written.uid) {
      return absl::AbortedError(fmt::format("the Secret {} is of a former group and about to go",
                                            k8s::KeyOf(secret).name));
    }
  } else {
    if (!absl::IsNotFound(there.status())) return there.status();
    secret["stringData"][round.plan.secret->key] = RandomText(kSecretBytes);
    RETURN_IF_ERROR(around_.writer.Write(k8s::Create(SecretType(), secret)).status());
  }
  round.memory->has_secret = true;
  return absl::OkStatus();
}

absl::Status BrokerGroupController::ApplyAll(Round& round) {
  for (const Plan::Apply& apply : round.plan.applies) {
    const absl::Status applied = around_.writer.Apply(
        *round.observed.group, apply, round.observed.applied, round.memory->written);
    // A pod that went meanwhile needs no label; its successor is seen soon.
    if (apply.type == PodType() && k8s::IsConflict(applied)) {
      round.plan.look_again = kSoon;
      continue;
    }
    RETURN_IF_ERROR(applied);
  }
  for (const Plan::Removal& removal : round.plan.removals) {
    RETURN_IF_ERROR(around_.writer.Remove(removal));
  }
  return absl::OkStatus();
}

absl::Status BrokerGroupController::GrowVolumes(Round& round) {
  ASSIGN_OR_RETURN(const bool asked,
                   round.memory->growth.Ask(*round.observed.group, round.plan.growths,
                                            around_.writer, around_.events, around_.clock.Now()));
  if (!asked) round.plan.look_again = kSoon;
  return absl::OkStatus();
}

// What was planned from news of the past is dropped: the next look plans it again, or not.
absl::Status BrokerGroupController::DeletePod(Round& round) {
  if (!round.plan.deletion.has_value()) return absl::OkStatus();
  const Plan::Deletion& deletion = *round.plan.deletion;
  ASSIGN_OR_RETURN(const bool may_go, MayGo(round, deletion));
  absl::Status deleted = absl::AbortedError("it has changed");
  if (may_go) {
    deleted =
        around_.writer.Write(k8s::Delete(PodType(), deletion.pod, {.uid = deletion.uid})).status();
  }
  if (deleted.ok()) {
    round.memory->deleted_pod = deletion.uid;
    return absl::OkStatus();
  }
  round.plan.events.clear();
  round.plan.answered.clear();
  round.plan.look_again = kSoon;
  if (k8s::IsConflict(deleted) || absl::IsAborted(deleted) || absl::IsNotFound(deleted)) {
    return absl::OkStatus();
  }
  return deleted;
}

absl::StatusOr<bool> BrokerGroupController::MayGo(const Round& round,
                                                  const Plan::Deletion& deletion) {
  const BrokerGroupSpec spec(*round.observed.group);
  for (const k8s::Object& pod : round.observed.pods) {
    // The last deletion has not come to the cache.
    if (k8s::UidOf(*pod) == round.memory->deleted_pod && !k8s::IsBeingDeleted(*pod)) return false;
    const absl::StatusOr<Json> now = around_.client.Run(k8s::Get(PodType(), k8s::KeyOf(*pod)));
    if (absl::IsNotFound(now.status())) return false;
    RETURN_IF_ERROR(now.status());
    if (k8s::ResourceVersionOf(*now) != k8s::ResourceVersionOf(*pod)) return false;
  }
  if (spec.coordinator != BrokerGroupSpec::Coordinator::kKubernetes) return true;
  const absl::StatusOr<Json> lease =
      around_.client.Run(k8s::Get(LeaseType(), {spec.space, spec.lease}));
  if (absl::IsNotFound(lease.status())) return false;
  RETURN_IF_ERROR(lease.status());
  return CoordinationOf(*lease) == round.observed.coordination && !deletion.uid.empty();
}

absl::Status BrokerGroupController::SwitchOver(Round& round) {
  Request& request = round.memory->switchover;
  // Another epoch: what was asked for came, or something else did.
  if (request.epoch != EpochOf(round.observed)) request.answer = absl::OkStatus();
  if (!round.plan.switchover.has_value()) {
    if (request.answer.ok()) return absl::OkStatus();
    // It was asked for once, and declined: that is shown for a while.
    if (around_.clock.Now() - request.at >= kPatience) request.answer = absl::OkStatus();
    round.plan.look_again = std::min(round.plan.look_again, kPatience);
    return absl::OkStatus();
  }
  if (AskedJustNow(round, request, "switchover")) {
    round.plan.answered.clear();
    return absl::OkStatus();
  }
  const std::string& to = round.plan.switchover->to;
  ASSIGN_OR_RETURN(const GroupControl::Master master, MasterOf(round));
  const bool waits = request.again == kTooEarly && request.epoch == master.epoch;
  request = {.what = "switchover",
             .epoch = master.epoch,
             .at = around_.clock.Now(),
             .again = kPatience,
             .answer = around_.control.SwitchOver(master, to)};
  if (absl::IsAborted(request.answer)) {
    // A member that has just come back is not found by all others at once.
    if (!waits) {
      around_.events.Record(*round.observed.group,
                            {.type = k8s::EventType::kNormal,
                             .reason = "SwitchoverWaits",
                             .action = "Switchover",
                             .note = fmt::format("{} hands over to {} later: {}", master.member, to,
                                                 FromAbsl(request.answer.message()))});
    }
    round.plan.events.clear();
    round.plan.answered.clear();
    round.plan.look_again = std::min(round.plan.look_again, kTooEarly);
    request.again = kTooEarly;
    request.answer = absl::OkStatus();
  } else if (!request.answer.ok()) {
    round.plan.events = {{.type = k8s::EventType::kWarning,
                          .reason = kSwitchoverFailed,
                          .action = "Switchover",
                          .note = fmt::format("{} does not hand over to {}: {}", master.member, to,
                                              FromAbsl(request.answer.message()))}};
  }
  return absl::OkStatus();
}

absl::Status BrokerGroupController::ChangeMembers(Round& round) {
  Request& request = round.memory->member_change;
  if (!round.plan.member_change.has_value()) {
    request.answer = absl::OkStatus();  // it came, or is not wanted any more
    return absl::OkStatus();
  }
  const Plan::MemberChange& change = *round.plan.member_change;
  const std::string what =
      fmt::format("{} {}", change.address.empty() ? "remove" : "add", change.member);
  if (AskedJustNow(round, request, what)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const GroupControl::Master master, MasterOf(round));
  request = {.what = what,
             .epoch = master.epoch,
             .at = around_.clock.Now(),
             .again = kPatience,
             .answer = around_.control.ChangeMembers(master, change)};
  if (!request.answer.ok()) {
    round.plan.events = {{.type = k8s::EventType::kWarning,
                          .reason = kMemberChangeFailed,
                          .action = "Scale",
                          .note = fmt::format("{} does not {}: {}", master.member, what,
                                              FromAbsl(request.answer.message()))}};
  }
  return absl::OkStatus();
}

// Then it is not asked again, nor told.
bool BrokerGroupController::AskedJustNow(Round& round, Request& request, const std::string& what) {
  const bool asked = request.what == what && request.epoch == EpochOf(round.observed) &&
                     around_.clock.Now() - request.at < request.again;
  if (asked) round.plan.events.clear();
  return asked;
}

// With all that is needed to ask it.
absl::StatusOr<GroupControl::Master> BrokerGroupController::MasterOf(const Round& round) {
  const BrokerGroupSpec spec(*round.observed.group);
  GroupControl::Master master{.group = spec.broker_name,
                              .member = round.observed.coordination->master,
                              .address = "",
                              .epoch = round.observed.coordination->epoch,
                              .secret = ""};
  absl::StatusOr<std::string> secret = SecretOf(round);
  if (!secret.ok()) {
    round.memory->has_secret = false;  // somebody deleted it: it is made again
    return secret.status();
  }
  master.secret = *std::move(secret);
  std::string host = HostOf(spec, master.member);
  for (const k8s::Object& pod : round.observed.pods) {
    const std::string_view ip = k8s::StringAt(*pod, {"status", "podIP"});
    if (k8s::KeyOf(*pod).name == master.member && !ip.empty()) host = ip;
  }
  master.address = ReplicatorAt(host);
  RETURN_IF_ERROR(around_.writer.MayWrite());
  return master;
}

absl::StatusOr<std::string> BrokerGroupController::SecretOf(const Round& round) {
  const BrokerGroupSpec spec(*round.observed.group);
  ASSIGN_OR_RETURN(const Json secret,
                   around_.client.Run(k8s::Get(SecretType(), {spec.space, spec.secret})));
  std::string text;
  if (!absl::Base64Unescape(ToAbsl(k8s::StringAt(secret, {"data", kSecretKey})), &text) ||
      text.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("the Secret {} has no value '{}': delete it, "
                    "and restart the members",
                    spec.secret, kSecretKey));
  }
  return text;
}

absl::Status BrokerGroupController::AnswerAnnotations(Round& round) {
  if (round.plan.answered.empty()) return absl::OkStatus();
  Json patch;
  // As it was seen: a request that came meanwhile is not this one.
  patch["metadata"]["resourceVersion"] = k8s::ResourceVersionOf(*round.observed.group);
  for (const std::string& name : round.plan.answered) {
    patch["metadata"]["annotations"][name] = nullptr;
  }
  const absl::Status answered =
      around_.writer
          .Write(k8s::MergePatch(BrokerGroupType(), k8s::KeyOf(*round.observed.group), patch))
          .status();
  return absl::IsNotFound(answered) ? absl::OkStatus() : answered;
}

absl::Status BrokerGroupController::WriteStatus(Round& round) {
  const Json& group = *round.observed.group;
  Json& status = round.plan.status;
  const Timestamp now = around_.clock.Now();
  ShowFailure(group, kSwitchoverFailed, round.memory->switchover.answer, now, status);
  ShowFailure(group, kMemberChangeFailed, round.memory->member_change.answer, now, status);
  return around_.writer.WriteStatus(BrokerGroupType(), group, status, round.memory->written);
}

const std::vector<k8s::ResourceType>& OwnedTypes() {
  static const std::vector<k8s::ResourceType> types = {
      ConfigMapType(),   LeaseType(), PodDisruptionBudgetType(), PodType(),
      RoleBindingType(), RoleType(),  ServiceAccountType(),      ServiceType(),
      StatefulSetType()};
  return types;
}

}  // namespace dunlin::op
