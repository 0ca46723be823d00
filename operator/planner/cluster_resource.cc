#include "operator/planner/cluster_resource.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "operator/k8s/conditions.h"
#include "operator/planner/config_text.h"
#include "operator/planner/credentials.h"
#include "operator/planner/resource_types.h"
#include "operator/planner/spec.h"
#include "services/base/strings.h"
#include "services/runtime/host_port.h"

namespace dunlin::op {
namespace {

using k8s::Condition;
using k8s::ConditionStatus;
using k8s::Json;

std::string_view ClusterOf(const Json& resource) {
  const std::string_view given = k8s::StringAt(resource, {"spec", "clusterName"});
  return given.empty() ? "DefaultCluster" : given;
}

// Empty: all of the cluster.
std::set<std::string> WantedGroups(const Json& resource) {
  std::set<std::string> wanted;
  if (const Json* const groups = k8s::Find(resource, {"spec", "brokerGroups"})) {
    for (const Json& group : *groups) wanted.emplace(k8s::StringAt(group, {}));
  }
  return wanted;
}

bool Overlap(const std::set<std::string>& a, const std::set<std::string>& b) {
  if (a.empty() || b.empty()) return true;
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& group) { return b.contains(group); });
}

auto AgeOf(const Json& resource) {
  return std::tuple(k8s::StringAt(resource, {"metadata", "creationTimestamp"}),
                    k8s::KeyOf(resource).name);
}

// Why something is not as it is to be.
struct Reason {
  bool stalled = false;
  std::string word{};
  std::string message{};
};

Reason ReasonOf(const Kept& kept) {
  Reason reason{.message = fmt::format("{}: {}", kept.group, FromAbsl(kept.status.message()))};
  switch (kept.status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      reason.word = "Unreachable";
      break;
    // A Secret that has changed is not everywhere at once, nor is access control.
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      reason.word = "NotAllowed";
      reason.message += "; who asks is told by access.superUserSecretName of the BrokerGroup";
      break;
    // Another state of the broker, or of another resource, may be all that is missing.
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
      reason.word = "Declined";
      break;
    case absl::StatusCode::kUnimplemented:
      reason.stalled = true;
      reason.word = "NotSupported";
      break;
    default:
      reason.stalled = true;
      reason.word = "Refused";
  }
  return reason;
}

// All reasons in one; what stalls it comes first.
Reason Sum(const ResourceOutcome& outcome, std::string_view cluster) {
  if (const Obstacle& obstacle = outcome.obstacle; !obstacle.reason.empty()) {
    return {.stalled = obstacle.stalled, .word = obstacle.reason, .message = obstacle.message};
  }
  std::vector<Reason> reasons;
  for (const Kept& kept : outcome.kept) {
    if (!kept.status.ok()) reasons.push_back(ReasonOf(kept));
  }
  for (const std::string& name : outcome.missing) {
    reasons.push_back({.stalled = false,
                       .word = "BrokerGroupMissing",
                       .message = fmt::format("{}: there is no such BrokerGroup in the cluster; "
                                              "make it, or take it off brokerGroups",
                                              name)});
  }
  if (outcome.kept.empty() && reasons.empty()) {
    return {.stalled = false,
            .word = "NoBrokerGroups",
            .message = fmt::format("no BrokerGroup of this namespace with clusterName {} refers to "
                                   "the same NameService",
                                   cluster)};
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const Reason& a, const Reason& b) { return a.stalled && !b.stalled; });
  // A condition's message has its limit.
  constexpr size_t kTold = 10;
  Reason sum;
  for (size_t i = 0; i < std::min(reasons.size(), kTold); ++i) {
    const Reason& reason = reasons[i];
    if (sum.word.empty()) sum = {.stalled = reason.stalled, .word = reason.word, .message = ""};
    sum.message += (sum.message.empty() ? "" : "; ") + reason.message;
  }
  if (reasons.size() > kTold) sum.message += fmt::format("; and {} more", reasons.size() - kTold);
  return sum;
}

Condition Is(std::string type, bool status, const Reason& reason) {
  return {.type = std::move(type),
          .status = status ? ConditionStatus::kTrue : ConditionStatus::kFalse,
          .reason = reason.word,
          .message = reason.message};
}

std::vector<Condition> ConditionsOf(const Json& resource, const ResourceOutcome& outcome) {
  const Reason nothing{.word = "Nothing"};
  Reason why = Sum(outcome, ClusterOf(resource));
  if (k8s::IsBeingDeleted(resource)) {
    if (!why.stalled) why.word = "Deleting";
    return {Is("Ready", false, why), Is("Reconciling", !why.stalled, why),
            Is("Stalled", why.stalled, why.stalled ? why : nothing)};
  }
  if (why.word.empty()) {
    std::string groups;
    for (const Kept& kept : outcome.kept) groups += (groups.empty() ? "" : ", ") + kept.group;
    return {Is("Ready", true, {.word = "Kept", .message = "at broker groups " + groups}),
            Is("Reconciling", false, nothing), Is("Stalled", false, nothing)};
  }
  return {Is("Ready", false, why), Is("Reconciling", !why.stalled, why.stalled ? nothing : why),
          Is("Stalled", why.stalled, why.stalled ? why : nothing)};
}

bool WasReady(const Json& resource) {
  const Json* const conditions = k8s::Find(resource, {"status", "conditions"});
  return conditions != nullptr && k8s::IsConditionTrue(*conditions, "Ready") &&
         k8s::IntAt(resource, {"status", "observedGeneration"}) == k8s::GenerationOf(resource);
}

bool WasAt(const Json& resource, const std::string& group) {
  const Json* const groups = k8s::Find(resource, {"status", "brokerGroups"});
  return groups != nullptr && std::find(groups->begin(), groups->end(), group) != groups->end();
}

}  // namespace

Placement PlacementOf(const Json& resource, const std::vector<BrokerGroupSight>& groups) {
  const std::set<std::string> wanted = WantedGroups(resource);
  Placement placement;
  std::set<std::string> missing = wanted;
  for (const BrokerGroupSight& sight : groups) {
    const BrokerGroupSpec spec(*sight.group);
    if (spec.cluster_name != ClusterOf(resource) || k8s::IsBeingDeleted(*sight.group)) continue;
    if (!wanted.empty() && !wanted.contains(spec.broker_name)) continue;
    missing.erase(spec.broker_name);
    BrokerAt broker{.cluster = spec.cluster_name,
                    .group = spec.broker_name,
                    .address = "",
                    .tls = spec.tls_mode != "OFF",
                    .credentials = sight.credentials};
    if (!sight.master.empty()) {
      const std::string host = sight.master_ip.empty()
                                   ? fmt::format("{}-master.{}.svc", spec.name, spec.space)
                                   : sight.master_ip;
      broker.address = FormatHostPort({.host = host, .port = kClientPort});
    }
    placement.brokers.push_back(std::move(broker));
  }
  std::sort(placement.brokers.begin(), placement.brokers.end(),
            [](const BrokerAt& a, const BrokerAt& b) { return a.group < b.group; });
  placement.missing.assign(missing.begin(), missing.end());
  return placement;
}

std::string ClusterNameOf(const Json& resource) {
  std::string name(k8s::StringAt(resource, {"spec", "namespace"}));
  if (!name.empty()) name += '/';
  for (const std::string_view field : {"topicName", "groupName", "userName"}) {
    const std::string_view given = k8s::StringAt(resource, {"spec", field});
    if (!given.empty()) return name.append(given);
  }
  return name + k8s::KeyOf(resource).name;
}

std::string RivalOf(const Json& resource, const std::vector<k8s::Object>& resources) {
  const Json* oldest = &resource;
  for (const k8s::Object& other : resources) {
    if (k8s::UidOf(*other) == k8s::UidOf(resource) || AgeOf(*other) > AgeOf(*oldest) ||
        ClusterOf(*other) != ClusterOf(resource) ||
        ClusterNameOf(*other) != ClusterNameOf(resource) ||
        !Overlap(WantedGroups(*other), WantedGroups(resource))) {
      continue;
    }
    oldest = other.get();
  }
  return oldest == &resource ? "" : k8s::KeyOf(*oldest).name;
}

std::string HeirOf(const Json& resource, const std::vector<k8s::Object>& resources,
                   const std::string& group) {
  for (const k8s::Object& other : resources) {
    if (k8s::UidOf(*other) == k8s::UidOf(resource) || k8s::IsBeingDeleted(*other) ||
        ClusterOf(*other) != ClusterOf(resource) ||
        ClusterNameOf(*other) != ClusterNameOf(resource)) {
      continue;
    }
    const std::set<std::string> wanted = WantedGroups(*other);
    if (wanted.empty() || wanted.contains(group)) return k8s::KeyOf(*other).name;
  }
  return "";
}

bool IsDataToGo(const Json& resource) {
  return k8s::StringAt(resource, {"spec", "deletionPolicy"}) == "Delete";
}

bool IsUser(const Json& resource) { return k8s::StringAt(resource, {"kind"}) == UserType().kind; }

Step NextStep(const Found& found) {
  if (!found.exists) return Step::kCreate;
  return found.differences.empty() ? Step::kNone : Step::kUpdate;
}

k8s::Event EventOf(const Json& resource, const std::string& group, const Found& before) {
  const bool repair = WasReady(resource) && WasAt(resource, group);
  const std::string name = ClusterNameOf(resource);
  if (!before.exists) {
    return {.type = repair ? k8s::EventType::kWarning : k8s::EventType::kNormal,
            .reason = repair ? "DriftRepaired" : "Created",
            .action = "Create",
            .note = repair ? fmt::format("{} was gone at broker group {}: it is made anew{}", name,
                                         group, IsUser(resource) ? "" : ", without what was in it")
                           : fmt::format("{} is made at broker group {}", name, group)};
  }
  return {.type = repair ? k8s::EventType::kWarning : k8s::EventType::kNormal,
          .reason = repair ? "DriftRepaired" : "Updated",
          .action = "Update",
          .note = fmt::format("{} at broker group {}: {}", name, group,
                              fmt::join(before.differences, "; "))};
}

Json StatusOfResource(const Json& resource, const ResourceOutcome& outcome, Timestamp now) {
  const int64_t generation = k8s::GenerationOf(resource);
  const bool topic = k8s::StringAt(resource, {"kind"}) == TopicType().kind;
  Json groups = Json::array();
  int64_t read_queues = 0;
  std::set<std::string> clients;
  for (const Kept& kept : outcome.kept) {
    // Of one that cannot be asked the last word holds.
    const bool known = kept.status.ok() || kept.found.exists;
    if (known ? kept.found.exists : WasAt(resource, kept.group)) groups.push_back(kept.group);
    if (!known) read_queues = std::max(read_queues, k8s::IntAt(resource, {"status", "readQueues"}));
    read_queues = std::max<int64_t>(read_queues, kept.found.read_queues);
    clients.insert(kept.found.clients.begin(), kept.found.clients.end());
  }
  Json status = {{"observedGeneration", generation}, {"brokerGroups", std::move(groups)}};
  if (topic) {
    status["topicName"] = ClusterNameOf(resource);
    status["readQueues"] = read_queues;
  } else if (IsUser(resource)) {
    status["userName"] = ClusterNameOf(resource);
    status["secretName"] = CredentialsNameOf(resource);
  } else {
    status["groupName"] = ClusterNameOf(resource);
    status["clients"] = clients.size();
  }
  // Ours only: other managers' conditions are theirs to apply.
  Json conditions = Json::array();
  if (const Json* const before = k8s::Find(resource, {"status", "conditions"})) {
    conditions = *before;
  }
  Json ours = Json::array();
  for (const Condition& condition : ConditionsOf(resource, outcome)) {
    k8s::SetCondition(conditions, condition, generation, now);
    ours.push_back(*k8s::FindCondition(conditions, condition.type));
  }
  status["conditions"] = std::move(ours);
  return status;
}

}  // namespace dunlin::op
