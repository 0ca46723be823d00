#include "operator/planner/objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "operator/planner/children.h"
#include "operator/planner/config_text.h"
#include "operator/planner/credentials.h"
#include "operator/planner/members.h"
#include "operator/planner/outside.h"
#include "operator/planner/pod_parts.h"
#include "operator/planner/resource_types.h"

namespace dunlin::op {
namespace {

using k8s::Json;

constexpr int kSecretMode = 0440;  // fsGroup makes it the pod's

Json NewService(const Json& group, const BrokerGroupSpec& spec, const std::string& name) {
  Json service = NewChild(group, spec, ServiceType(), name);
  service["spec"] = {{"type", "ClusterIP"},
                     {"selector", SelectorLabels(spec)},
                     {"ports", {ServicePort("grpc", kClientPort)}}};
  return service;
}

Json MembersService(const Json& group, const BrokerGroupSpec& spec) {
  Json service = NewService(group, spec, spec.name + "-members");
  service["spec"]["clusterIP"] = "None";
  service["spec"]["publishNotReadyAddresses"] = true;
  for (const Json& port :
       {ServicePort("metrics", kMetricsPort), ServicePort("replication", kReplicatorPort),
        ServicePort("repl-metrics", kReplicatorMetricsPort)}) {
    service["spec"]["ports"].push_back(port);
  }
  return service;
}

Json MasterService(const Json& group, const BrokerGroupSpec& spec) {
  Json service = NewService(group, spec, spec.name + "-master");
  service["spec"]["selector"][std::string(kRoleLabel)] = "master";
  return service;
}

Json Budget(const Json& group, const BrokerGroupSpec& spec, std::string_view role,
            int min_available) {
  Json budget = NewChild(group, spec, PodDisruptionBudgetType(),
                         role == "master" ? spec.name + "-master" : spec.name);
  Json selector = SelectorLabels(spec);
  selector[std::string(kRoleLabel)] = role;
  budget["spec"] = {{"minAvailable", min_available}, {"selector", {{"matchLabels", selector}}}};
  return budget;
}

std::string FileNameOf(const BrokerGroupSpec& spec, const std::string& config_hash) {
  return fmt::format("{}-config-{}", spec.name, config_hash);
}

// What the two containers of a member have in common: the same file, the same volume.
Json NewContainer(const BrokerGroupSpec& spec, const Defaults& defaults, const Json& group,
                  std::string_view program) {
  Json container = {{"image", spec.image.empty() ? defaults.image : spec.image},
                    {"command", Json::array({program})},
                    {"args", {"--config", std::string(kConfigDirectory) + "/dunlin.yaml"}},
                    // What differs from member to member; the rest is in the file.
                    {"env",
                     {FieldVariable("POD_NAME", "metadata.name"),
                      {{"name", "DUNLIN_REPLICATION__MEMBER"}, {"value", "$(POD_NAME)"}},
                      {{"name", "DUNLIN_SERVER__ADVERTISED_ADDRESS"},
                       {"value", fmt::format("{}:{}", HostOf(spec, "$(POD_NAME)"), kClientPort)}}}},
                    {"securityContext", RestrictedContainer()},
                    {"volumeMounts",
                     {{{"name", "data"}, {"mountPath", kDataDirectory}},
                      {{"name", "config"}, {"mountPath", kConfigDirectory}, {"readOnly", true}},
                      {{"name", "secret"}, {"mountPath", kSecretDirectory}, {"readOnly", true}}}}};
  container["imagePullPolicy"] = PullPolicy(group);
  if (!spec.tls_secret.empty()) {
    container["volumeMounts"].push_back(
        {{"name", "tls"}, {"mountPath", kTlsDirectory}, {"readOnly", true}});
  }
  return container;
}

Json Probe(Json action) {
  constexpr int kPeriodSeconds = 5;
  action["periodSeconds"] = kPeriodSeconds;
  return action;
}

Json BrokerContainer(const BrokerGroupSpec& spec, const Defaults& defaults, const Json& group) {
  // The replicator hands over while the broker still serves.
  constexpr int kHandOverSeconds = 5;
  Json container = NewContainer(spec, defaults, group, "dunlin-broker");
  container["name"] = "dunlin";
  container["ports"] =
      Json::array({ContainerPort("grpc", kClientPort), ContainerPort("metrics", kMetricsPort)});
  if (spec.access_enabled) {
    container["volumeMounts"].push_back(
        {{"name", "access"}, {"mountPath", kAccessDirectory}, {"readOnly", true}});
    // Of dunlinctl, which is in the image: whoever may execute it here may read the file.
    const Json key = {
        {"secretKeyRef", {{"name", spec.super_user_secret}, {"key", kAccessKeyEntry}}}};
    container["env"].push_back({{"name", "DUNLIN_ACCESS_KEY"}, {"valueFrom", key}});
    container["env"].push_back(
        {{"name", "DUNLIN_SECRET_KEY_FILE"},
         {"value", fmt::format("{}/{}", kAccessDirectory, kSecretKeyEntry)}});
  }
  // A slave answers, too, though its health service says that it takes no messages.
  container["readinessProbe"] = Probe({{"tcpSocket", {{"port", kClientPort}}}});
  container["lifecycle"] = {{"preStop", {{"sleep", {{"seconds", kHandOverSeconds}}}}}};
  if (const Json* const resources = k8s::Find(group, {"spec", "resources"})) {
    container["resources"] = *resources;
  }
  if (IsExposed(group)) TellOutsideAddress(container);
  return container;
}

Json ReplicatorContainer(const BrokerGroupSpec& spec, const Defaults& defaults, const Json& group) {
  Json container = NewContainer(spec, defaults, group, "dunlin-replicator");
  container["name"] = "replicator";
  container["ports"] = Json::array({ContainerPort("replication", kReplicatorPort),
                                    ContainerPort("repl-metrics", kReplicatorMetricsPort)});
  container["readinessProbe"] = Probe({{"grpc", {{"port", kReplicatorPort}}}});
  // Members know each other by their secret; TLS is asked for on the port of clients alone, since
  // config.peer_tls is not known to have it.
  if (spec.tls_required) {
    container["env"].push_back({{"name", "DUNLIN_SERVER__TLS__MODE"}, {"value", "BOTH"}});
  }
  if (!spec.etcd_tls_secret.empty()) {
    container["volumeMounts"].push_back(
        {{"name", "etcd-tls"}, {"mountPath", kEtcdTlsDirectory}, {"readOnly", true}});
  }
  return container;
}

// Its entries are named: a pod whose Secret lacks one waits, and the kubelet says for what.
Json EtcdTlsVolume(const BrokerGroupSpec& spec) {
  std::vector<std::string> names = {"ca.crt"};
  if (spec.etcd_client_certificate) names.insert(names.end(), {"tls.crt", "tls.key"});
  Json items = Json::array();
  for (const std::string& name : names) items.push_back({{"key", name}, {"path", name}});
  return {{"name", "etcd-tls"},
          {"secret",
           {{"secretName", spec.etcd_tls_secret}, {"items", items}, {"defaultMode", kSecretMode}}}};
}

Json PodTemplate(const Json& group, const BrokerGroupSpec& spec, const Defaults& defaults,
                 const std::string& config, int members) {
  // Handing over, the end of calls under way, and what is still to be written.
  constexpr int kGraceSeconds = 60;
  Json pod;
  pod["metadata"]["labels"] = GroupLabels(spec);
  pod["metadata"]["annotations"] = {{std::string(kMembersAnnotation), fmt::to_string(members)}};
  // The file does not change under a member, also not when one of its containers starts again:
  // another one is another revision.
  const std::string file = FileNameOf(spec, Fingerprint(config));
  pod["spec"] = {
      {"containers",
       {BrokerContainer(spec, defaults, group), ReplicatorContainer(spec, defaults, group)}},
      {"enableServiceLinks", false},
      {"automountServiceAccountToken", spec.NeedsAccount()},
      {"terminationGracePeriodSeconds", kGraceSeconds},
      {"securityContext", RestrictedPod()},
      {"topologySpreadConstraints", SpreadOverNodes(SelectorLabels(spec))},
      {"volumes",
       {{{"name", "config"}, {"configMap", {{"name", file}}}},
        {{"name", "secret"},
         {"secret", {{"secretName", spec.secret}, {"defaultMode", kSecretMode}}}}}}};
  if (spec.NeedsAccount()) pod["spec"]["serviceAccountName"] = spec.account;
  if (!spec.tls_secret.empty()) {
    pod["spec"]["volumes"].push_back(
        {{"name", "tls"}, {"secret", {{"secretName", spec.tls_secret}}}});
  }
  if (spec.access_enabled) {
    // Another secret comes to the file while members run; who it is of stands in their
    // configuration.
    const Json entry = {{"key", kSecretKeyEntry}, {"path", kSecretKeyEntry}};
    pod["spec"]["volumes"].push_back({{"name", "access"},
                                      {"secret",
                                       {{"secretName", spec.super_user_secret},
                                        {"items", Json::array({entry})},
                                        {"defaultMode", kSecretMode}}}});
  }
  if (!spec.etcd_tls_secret.empty()) pod["spec"]["volumes"].push_back(EtcdTlsVolume(spec));
  if (IsExposed(group)) pod["spec"]["volumes"].push_back(OutsideVolume(spec));
  if (const Json* const secrets = k8s::Find(group, {"spec", "imagePullSecrets"})) {
    pod["spec"]["imagePullSecrets"] = *secrets;
  }
  const Json* const over = k8s::Find(group, {"spec", "podTemplate"});
  if (over == nullptr) return pod;
  Json merged = Merged(std::move(pod), *over);
  PutLabels(GroupLabels(spec), merged);
  return merged;
}

Json MembersSet(const Observed& observed, const BrokerGroupSpec& spec, const Defaults& defaults,
                const std::string& config, int replicas) {
  const Json& group = *observed.group;
  Json set = NewChild(group, spec, StatefulSetType(), spec.name);
  set["spec"] = {{"replicas", replicas},
                 {"serviceName", spec.name + "-members"},
                 {"podManagementPolicy", "Parallel"},
                 {"updateStrategy", {{"type", "OnDelete"}}},
                 {"selector", {{"matchLabels", SelectorLabels(spec)}}},
                 {"template", PodTemplate(group, spec, defaults, config,
                                          ListedMembers(observed, spec, replicas))},
                 {"volumeClaimTemplates", VolumeClaims(group, observed.stateful_set.get())},
                 {"persistentVolumeClaimRetentionPolicy", ClaimRetention(group)}};
  return set;
}

// Whether a pod has the label of a master, or is about to get it. When nobody can be asked labels
// stay as they are.
bool HasMasterLabel(const Observed& observed) {
  return std::any_of(observed.pods.begin(), observed.pods.end(), [&](const k8s::Object& pod) {
    return observed.coordination.has_value()
               ? k8s::KeyOf(*pod).name == observed.coordination->master
               : k8s::LabelOf(*pod, kRoleLabel) == "master";
  });
}

// What members of a group that is coordinated by Kubernetes may do: with their Lease alone.
std::vector<Plan::Apply> AccessToLease(const Json& group, const BrokerGroupSpec& spec) {
  Json account = NewChild(group, spec, ServiceAccountType(), spec.account);
  account["automountServiceAccountToken"] = false;  // pods ask for it themselves
  Json role = NewChild(group, spec, RoleType(), spec.account);
  const Json rule = {{"apiGroups", {"coordination.k8s.io"}},
                     {"resources", {"leases"}},
                     {"resourceNames", {spec.lease}},
                     {"verbs", {"get", "list", "watch", "update"}}};
  role["rules"] = Json::array({rule});
  Json binding = NewChild(group, spec, RoleBindingType(), spec.account);
  binding["roleRef"] = {{"apiGroup", RoleType().group}, {"kind", "Role"}, {"name", spec.account}};
  const Json subject = {
      {"kind", "ServiceAccount"}, {"name", spec.account}, {"namespace", spec.space}};
  binding["subjects"] = Json::array({subject});
  // Its spec and other annotations are the members'.
  Json lease = NewChild(group, spec, LeaseType(), spec.lease);
  if (ClaimRetention(group)["whenDeleted"] == "Retain") {
    // Who may be elected from the volumes that stay is still known then.
    lease["metadata"].erase("ownerReferences");
  }
  return {{ServiceAccountType(), std::move(account)},
          {RoleType(), std::move(role)},
          {RoleBindingType(), std::move(binding)},
          {LeaseType(), std::move(lease)}};
}

// The index of what has this name in a list; the list's size when there is none.
size_t IndexOf(const Json& list, std::string_view name) {
  size_t at = 0;
  while (at < list.size() && k8s::StringAt(list[at], {"name"}) != name) ++at;
  return at;
}

bool HasNames(const Json& list) {
  return std::all_of(list.begin(), list.end(),
                     [](const Json& item) { return !k8s::StringAt(item, {"name"}).empty(); });
}

}  // namespace

std::string SelectorOf(const BrokerGroupSpec& spec) {
  std::string text;
  const Json selector = SelectorLabels(spec);
  for (const auto& [name, value] : selector.items()) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, value.get<std::string>());
  }
  return text;
}

Plan::NewSecret MemberSecret(const Json& group, const BrokerGroupSpec& spec) {
  return {.object = NewChild(group, spec, SecretType(), spec.secret), .key = kSecretKey};
}

bool Holds(const Json& live, const Json& wanted) {
  if (wanted.is_object() && live.is_object()) {
    for (const auto& [name, value] : wanted.items()) {
      const auto found = live.find(name);
      // What is empty need not be there.
      if (found == live.end() ? !value.empty() : !Holds(*found, value)) return false;
    }
    return true;
  }
  if (wanted.is_array() && live.is_array()) {
    return std::equal(live.begin(), live.end(), wanted.begin(), wanted.end(), Holds);
  }
  return live == wanted;
}

std::vector<Plan::Apply> ObjectsOf(const Observed& observed, const BrokerGroupSpec& spec,
                                   const Defaults& defaults, const std::string& config,
                                   int replicas) {
  const Json& group = *observed.group;
  std::vector<Plan::Apply> objects;
  if (spec.NeedsAccount()) objects = AccessToLease(group, spec);
  Json file = NewChild(group, spec, ConfigMapType(), FileNameOf(spec, Fingerprint(config)));
  file["immutable"] = true;
  file["data"]["dunlin.yaml"] = config;
  objects.push_back({ConfigMapType(), std::move(file)});
  objects.push_back({ServiceType(), MembersService(group, spec)});
  objects.push_back({ServiceType(), NewService(group, spec, spec.name)});
  objects.push_back({ServiceType(), MasterService(group, spec)});
  for (Plan::Apply& outside : OutsideObjects(observed, spec, replicas)) {
    objects.push_back(std::move(outside));
  }
  if (spec.disruption_budget) {
    // Of the slaves one may go; where there is one alone it may, too. While there is no master all
    // pods are slaves by their label.
    const int slaves = replicas - (HasMasterLabel(observed) ? 1 : 0);
    objects.push_back(
        {PodDisruptionBudgetType(), Budget(group, spec, "slave", std::max(slaves - 1, 0))});
    objects.push_back({PodDisruptionBudgetType(), Budget(group, spec, "master", 1)});
  }
  objects.push_back({StatefulSetType(), MembersSet(observed, spec, defaults, config, replicas)});
  Stamp(objects);
  return objects;
}

void Stamp(std::vector<Plan::Apply>& objects) {
  for (Plan::Apply& apply : objects) {
    apply.object["metadata"]["annotations"][std::string(kFingerprint)] =
        Fingerprint(k8s::PrintJson(apply.object));
  }
}

bool IsApplied(const Plan::Apply& apply, const std::map<std::string, std::string>& applied,
               const std::map<std::string, k8s::Object>& live) {
  const std::string name = fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name);
  const auto fingerprint = applied.find(name);
  if (fingerprint == applied.end() ||
      fingerprint->second != k8s::AnnotationOf(apply.object, kFingerprint)) {
    return false;
  }
  const auto now = live.find(name);
  return now == live.end() || Holds(*now->second, apply.object);
}

std::vector<Plan::Removal> Removals(const Observed& observed, const BrokerGroupSpec& spec,
                                    int replicas) {
  std::vector<Plan::Removal> removals = OutsideRemovals(observed, spec, replicas);
  if (spec.disruption_budget) return removals;
  for (const std::string& name : {spec.name, spec.name + "-master"}) {
    if (!observed.applied.contains(PodDisruptionBudgetType().kind + "/" + name)) continue;
    removals.push_back({.type = PodDisruptionBudgetType(), .object = {spec.space, name}});
  }
  return removals;
}

std::vector<Plan::Removal> ConfigMapsBut(const std::set<std::string>& kept,
                                         const std::map<std::string, std::string>& applied,
                                         const std::string& space) {
  const std::string kind = ConfigMapType().kind + "/";
  std::vector<Plan::Removal> removals;
  for (auto known = applied.lower_bound(kind);
       known != applied.end() && known->first.starts_with(kind); ++known) {
    std::string name = known->first.substr(kind.size());
    if (kept.contains(name)) continue;
    removals.push_back({.type = ConfigMapType(), .object = {space, std::move(name)}});
  }
  return removals;
}

std::vector<Plan::Removal> FormerFiles(const Observed& observed, const BrokerGroupSpec& spec,
                                       const std::string& config_hash) {
  return ConfigMapsBut({FileNameOf(spec, config_hash), OutsideAddressesOf(spec)}, observed.applied,
                       spec.space);
}

std::vector<Plan::Apply> RoleLabels(const Observed& observed) {
  std::vector<Plan::Apply> labels;
  if (!observed.coordination.has_value()) return labels;
  for (const k8s::Object& pod : observed.pods) {
    const std::string_view role =
        k8s::KeyOf(*pod).name == observed.coordination->master ? "master" : "slave";
    if (k8s::LabelOf(*pod, kRoleLabel) == role || k8s::IsBeingDeleted(*pod)) continue;
    Json labelled = k8s::NewObject(PodType(), k8s::KeyOf(*pod));
    labelled["metadata"]["uid"] = k8s::UidOf(*pod);
    labelled["metadata"]["labels"][std::string(kRoleLabel)] = role;
    labels.push_back({PodType(), std::move(labelled)});
  }
  // One master less before there is one more: its Service never has two.
  std::stable_partition(labels.begin(), labels.end(), [](const Plan::Apply& apply) {
    return k8s::LabelOf(apply.object, kRoleLabel) == "slave";
  });
  return labels;
}

std::string Fingerprint(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return fmt::format("{:016x}", hash);
}

Json Merged(Json base, const Json& over) {
  if (base.is_object() && over.is_object()) {
    for (const auto& [name, value] : over.items()) {
      base[name] = base.contains(name) ? Merged(std::move(base[name]), value) : value;
    }
    return base;
  }
  if (base.is_array() && over.is_array() && HasNames(base) && HasNames(over)) {
    for (const Json& item : over) {
      const size_t at = IndexOf(base, k8s::StringAt(item, {"name"}));
      if (at == base.size()) {
        base.push_back(item);
      } else {
        base[at] = Merged(std::move(base[at]), item);
      }
    }
    return base;
  }
  return over;
}

}  // namespace dunlin::op
