#include "operator/planner/name_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/k8s/conditions.h"
#include "operator/planner/config_text.h"
#include "operator/planner/outside.h"
#include "operator/planner/pod_parts.h"
#include "operator/planner/resource_types.h"
#include "operator/planner/volumes.h"
#include "operator/planner/yaml_text.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;

constexpr int kInstanceMetricsPort = 5558;
// While something is under way that nobody tells us of.
constexpr std::chrono::seconds kSoon{2};

// The spec, read.
struct Spec {
  explicit Spec(const Json& given)
      : resource(given),
        space(k8s::KeyOf(given).space),
        name(k8s::KeyOf(given).name),
        replicas(static_cast<int>(k8s::IntAt(given, {"spec", "replicas"}, 2))),
        tls_secret(k8s::StringAt(given, {"spec", "tls", "secretName"})),
        paused(k8s::AnnotationOf(given, "dunlin.dev/pause-reconciliation") == "true") {
    const std::string_view mode = k8s::StringAt(given, {"spec", "tls", "mode"});
    tls_mode = mode == "Required" ? "REQUIRED" : mode == "Off" ? "OFF" : "BOTH";
  }

  Json Selector() const {
    return {{"app.kubernetes.io/name", "dunlin"},
            {"app.kubernetes.io/component", "nameservice"},
            {std::string(kNameServiceLabel), name}};
  }
  Json Labels() const {
    Json labels = Selector();
    labels["app.kubernetes.io/instance"] = name;
    labels["app.kubernetes.io/managed-by"] = "dunlin-operator";
    return labels;
  }
  Json NewChild(const k8s::ResourceType& type, const std::string& child_name) const {
    Json child = k8s::NewObject(type, {space, child_name});
    child["metadata"]["labels"] = Labels();
    child["metadata"]["ownerReferences"] = Json::array({k8s::ControllerReference(resource)});
    return child;
  }
  bool HasBudget() const {
    return k8s::BoolAt(resource, {"spec", "podDisruptionBudget", "enabled"}, true);
  }
  std::string Image(const Defaults& defaults) const {
    const std::string_view given = k8s::StringAt(resource, {"spec", "image"});
    return given.empty() ? defaults.image : std::string(given);
  }

  const Json& resource;
  const std::string space;
  const std::string name;
  const int replicas;
  const std::string tls_secret;
  std::string tls_mode;
  const bool paused;
};

absl::StatusOr<std::string> FileOf(const Spec& spec) {
  Json config = Json::object();
  if (const Json* const given = k8s::Find(spec.resource, {"spec", "config"});
      given != nullptr && given->is_object()) {
    config = *given;
  }
  config["data_dir"] = kDataDirectory;
  config["server"]["listen_address"] = fmt::format("0.0.0.0:{}", kNameServicePort);
  if (IsExposed(spec.resource)) {
    config["registry"]["clients_listen_address"] =
        fmt::format("0.0.0.0:{}", kOutsideNameServicePort);
  }
  config["server"]["tls"]["mode"] = spec.tls_mode;
  if (!spec.tls_secret.empty()) {
    config["server"]["tls"]["certificate_file"] = std::string(kTlsDirectory) + "/tls.crt";
    config["server"]["tls"]["private_key_file"] = std::string(kTlsDirectory) + "/tls.key";
  }
  config["metrics"]["listen_address"] = fmt::format("0.0.0.0:{}", kInstanceMetricsPort);
  config::v1::NameServiceConfig schema;
  return YamlText(config, schema, "NameService");
}

// Another file is another ConfigMap: an instance that starts again amid an update finds its own.
std::string FileNameOf(const Spec& spec, const std::string& file) {
  return fmt::format("{}-config-{}", spec.name, Fingerprint(file));
}

Json MembersService(const Spec& spec) {
  Json service = spec.NewChild(ServiceType(), spec.name + "-members");
  service["spec"] = {
      {"type", "ClusterIP"},
      {"clusterIP", "None"},
      {"publishNotReadyAddresses", true},
      {"selector", spec.Selector()},
      {"ports",
       {ServicePort("grpc", kNameServicePort), ServicePort("metrics", kInstanceMetricsPort)}}};
  return service;
}

Json AccessService(const Spec& spec) {
  Json service = spec.NewChild(ServiceType(), spec.name);
  service["spec"] = {{"type", "ClusterIP"},
                     {"selector", spec.Selector()},
                     {"ports", Json::array({ServicePort("grpc", kNameServicePort)})}};
  return service;
}

std::string OutsideServiceName(const Spec& spec) { return spec.name + "-outside"; }

// A Service of its own: its port is not the one inside, by which clients outside are known. It
// leads to the listener for clients alone: nobody outside registers as a broker.
Json OutsideService(const Spec& spec) {
  Json service = spec.NewChild(ServiceType(), OutsideServiceName(spec));
  service["spec"] =
      OutsideServiceSpec(spec.resource, kOutsideNameServicePort, kOutsideNameServicePort);
  service["spec"]["selector"] = spec.Selector();
  if (const int64_t node_port = k8s::IntAt(spec.resource, {"spec", "expose", "nodePort"});
      node_port > 0) {
    service["spec"]["ports"][0]["nodePort"] = node_port;
  }
  if (const Json* const annotations = k8s::Find(spec.resource, {"spec", "expose", "annotations"})) {
    service["metadata"]["annotations"] = *annotations;
  }
  return service;
}

Json Container(const Spec& spec, const Defaults& defaults) {
  Json container = {
      {"name", "dunlin"},
      {"image", spec.Image(defaults)},
      {"imagePullPolicy", PullPolicy(spec.resource)},
      {"command", Json::array({"dunlin-nameservice"})},
      {"args", {"--config", std::string(kConfigDirectory) + "/dunlin.yaml"}},
      {"env",
       {FieldVariable("POD_NAME", "metadata.name"),
        {{"name", "DUNLIN_SERVER__ADVERTISED_ADDRESS"},
         {"value", fmt::format("$(POD_NAME).{}-members.{}.svc:{}", spec.name, spec.space,
                               kNameServicePort)}}}},
      {"ports",
       {ContainerPort("grpc", kNameServicePort), ContainerPort("metrics", kInstanceMetricsPort)}},
      {"securityContext", RestrictedContainer()},
      {"volumeMounts",
       {{{"name", "data"}, {"mountPath", kDataDirectory}},
        {{"name", "config"}, {"mountPath", kConfigDirectory}, {"readOnly", true}}}}};
  if (IsExposed(spec.resource)) {
    container["ports"].push_back(ContainerPort("outside", kOutsideNameServicePort));
  }
  // The kubelet's gRPC probe knows no TLS.
  container["readinessProbe"] = spec.tls_mode == "REQUIRED"
                                    ? Json{{"tcpSocket", {{"port", kNameServicePort}}}}
                                    : Json{{"grpc", {{"port", kNameServicePort}}}};
  container["readinessProbe"]["periodSeconds"] = 5;
  if (const Json* const resources = k8s::Find(spec.resource, {"spec", "resources"})) {
    container["resources"] = *resources;
  }
  if (!spec.tls_secret.empty()) {
    container["volumeMounts"].push_back(
        {{"name", "tls"}, {"mountPath", kTlsDirectory}, {"readOnly", true}});
  }
  return container;
}

Json PodTemplate(const Spec& spec, const Defaults& defaults, const std::string& file) {
  constexpr int kGraceSeconds = 30;
  Json pod;
  pod["metadata"]["labels"] = spec.Labels();
  pod["spec"] = {
      {"containers", Json::array({Container(spec, defaults)})},
      {"enableServiceLinks", false},
      {"automountServiceAccountToken", false},
      {"terminationGracePeriodSeconds", kGraceSeconds},
      {"securityContext", RestrictedPod()},
      {"topologySpreadConstraints", SpreadOverNodes(spec.Selector())},
      {"volumes",
       Json::array({{{"name", "config"}, {"configMap", {{"name", FileNameOf(spec, file)}}}}})}};
  if (!spec.tls_secret.empty()) {
    pod["spec"]["volumes"].push_back(
        {{"name", "tls"}, {"secret", {{"secretName", spec.tls_secret}}}});
  }
  if (const Json* const secrets = k8s::Find(spec.resource, {"spec", "imagePullSecrets"})) {
    pod["spec"]["imagePullSecrets"] = *secrets;
  }
  const Json* const over = k8s::Find(spec.resource, {"spec", "podTemplate"});
  if (over == nullptr) return pod;
  Json merged = Merged(std::move(pod), *over);
  PutLabels(spec.Labels(), merged);
  return merged;
}

Json InstancesSet(const ObservedNameService& observed, const Spec& spec, const Defaults& defaults,
                  const std::string& file) {
  Json set = spec.NewChild(StatefulSetType(), spec.name);
  set["spec"] = {{"replicas", spec.replicas},
                 {"serviceName", spec.name + "-members"},
                 {"podManagementPolicy", "Parallel"},
                 {"updateStrategy", {{"type", "RollingUpdate"}}},
                 {"selector", {{"matchLabels", spec.Selector()}}},
                 {"template", PodTemplate(spec, defaults, file)},
                 {"volumeClaimTemplates", VolumeClaims(spec.resource, observed.stateful_set.get())},
                 {"persistentVolumeClaimRetentionPolicy", ClaimRetention(spec.resource)}};
  return set;
}

std::vector<Plan::Apply> Objects(const ObservedNameService& observed, const Spec& spec,
                                 const Defaults& defaults, const std::string& file) {
  std::vector<Plan::Apply> objects;
  Json config = spec.NewChild(ConfigMapType(), FileNameOf(spec, file));
  config["immutable"] = true;
  config["data"]["dunlin.yaml"] = file;
  objects.push_back({ConfigMapType(), std::move(config)});
  objects.push_back({ServiceType(), MembersService(spec)});
  objects.push_back({ServiceType(), AccessService(spec)});
  if (IsExposed(spec.resource)) objects.push_back({ServiceType(), OutsideService(spec)});
  if (spec.HasBudget()) {
    Json budget = spec.NewChild(PodDisruptionBudgetType(), spec.name);
    budget["spec"] = {{"maxUnavailable", 1}, {"selector", {{"matchLabels", spec.Selector()}}}};
    objects.push_back({PodDisruptionBudgetType(), std::move(budget)});
  }
  objects.push_back({StatefulSetType(), InstancesSet(observed, spec, defaults, file)});
  Stamp(objects);
  return objects;
}

// It is made anew around its pods (volumes.h).
bool IsSetGoing(const ObservedNameService& observed) {
  return observed.stateful_set != nullptr && k8s::IsBeingDeleted(*observed.stateful_set);
}

// Objects that are not as they are to be, and those that are not wanted.
void PlanObjects(const ObservedNameService& observed, const Spec& spec,
                 std::vector<Plan::Apply> objects, Plan& plan) {
  if (IsSetGoing(observed)) return;
  for (Plan::Apply& apply : objects) {
    if (!IsApplied(apply, observed.applied, observed.live)) {
      plan.applies.push_back(std::move(apply));
    }
  }
  const auto remove = [&](const k8s::ResourceType& type, const std::string& name) {
    if (!observed.applied.contains(type.kind + "/" + name)) return;
    plan.removals.push_back({.type = type, .object = {spec.space, name}});
  };
  if (!spec.HasBudget()) remove(PodDisruptionBudgetType(), spec.name);
  if (!IsExposed(spec.resource)) remove(ServiceType(), OutsideServiceName(spec));
}

// What the status is made from, apart from what was observed.
struct Outcome {
  absl::Status config = absl::OkStatus();
  bool set_changes = false;
  VolumesStep volumes;
};

// What the StatefulSet's controller says. None is updated while it has not seen what the spec says
// now. As long as it has said nothing of a StatefulSet that is made anew, what it said last holds.
struct Sight {
  Sight(const k8s::Json& resource, const k8s::Object& set, bool set_changes) {
    if (set == nullptr || k8s::IntAt(*set, {"status", "observedGeneration"}) == 0) {
      there = k8s::IntAt(resource, {"status", "replicas"});
      ready = k8s::IntAt(resource, {"status", "readyReplicas"});
      return;
    }
    there = k8s::IntAt(*set, {"status", "replicas"});
    ready = k8s::IntAt(*set, {"status", "readyReplicas"});
    current = !set_changes &&
              k8s::IntAt(*set, {"status", "observedGeneration"}) == k8s::GenerationOf(*set);
    if (current) updated = k8s::IntAt(*set, {"status", "updatedReplicas"});
  }

  int64_t there = 0;
  int64_t ready = 0;
  int64_t updated = 0;
  bool current = false;
};

struct Verdict {
  bool ready = false;
  std::string reason;
  std::string message;
  std::string phase;
};

Verdict Judge(const Spec& spec, const Sight& sight, const absl::Status& config) {
  if (k8s::IsBeingDeleted(spec.resource)) return {false, "Deleting", "it is deleted", "Deleting"};
  if (!config.ok()) {
    return {false, absl::IsAlreadyExists(config) ? "NameTaken" : "InvalidSpec",
            std::string(config.message()), "Stalled"};
  }
  if (spec.paused) return {false, "Paused", "it is paused", "Paused"};
  const std::string of = fmt::format("{} of {} instances are ready", sight.ready, spec.replicas);
  if (sight.there == 0) return {false, "Creating", of, "Creating"};
  if (!sight.current) return {false, "Updating", "the StatefulSet changes", "Updating"};
  if (sight.there != spec.replicas) return {false, "Scaling", of, "Updating"};
  if (sight.updated < spec.replicas) {
    return {
        false, "Updating",
        fmt::format("{} of {} instances are of the newest revision", sight.updated, spec.replicas),
        "Updating"};
  }
  if (sight.ready < spec.replicas) return {false, "InstancesNotReady", of, "Degraded"};
  return {true, "AllInstancesReady", of, "Healthy"};
}

Json Conditions(const Spec& spec, const Sight& sight, const Verdict& verdict,
                const VolumesStep& volumes, Timestamp now) {
  const bool stalled = verdict.phase == "Stalled";
  Json known = Json::array();
  if (const Json* const before = k8s::Find(spec.resource, {"status", "conditions"})) {
    known = *before;
  }
  Json ours = Json::array();
  const auto add = [&](const char* type, bool is, const std::string& reason,
                       const std::string& message) {
    k8s::SetCondition(known,
                      {.type = type,
                       .status = is ? k8s::ConditionStatus::kTrue : k8s::ConditionStatus::kFalse,
                       .reason = reason,
                       .message = message},
                      k8s::GenerationOf(spec.resource), now);
    ours.push_back(*k8s::FindCondition(known, type));
  };
  add("Ready", verdict.ready, verdict.reason, verdict.message);
  add("Available", sight.ready > 0, sight.ready > 0 ? "InstancesServe" : "NoInstance",
      fmt::format("{} instances are ready", sight.ready));
  add("Reconciling", !verdict.ready && !stalled && !spec.paused, verdict.reason, verdict.message);
  add("Stalled", stalled, stalled ? verdict.reason : "Nothing", stalled ? verdict.message : "");
  if (!volumes.reason.empty()) {
    add("StorageReady", volumes.is_ready(), volumes.reason, volumes.why);
  }
  return ours;
}

Json StatusOf(const ObservedNameService& observed, const Spec& spec, const Defaults& defaults,
              const Outcome& outcome, Timestamp now) {
  const Sight sight(spec.resource, observed.stateful_set, outcome.set_changes);
  const Verdict verdict = Judge(spec, sight, outcome.config);
  std::string selector;
  const Json labels = spec.Selector();
  for (const auto& [name, value] : labels.items()) {
    selector += fmt::format("{}{}={}", selector.empty() ? "" : ",", name, value.get<std::string>());
  }
  Json endpoints = Json::array();
  for (int i = 0; i < spec.replicas; ++i) {
    endpoints.push_back(
        fmt::format("{0}-{1}.{0}-members.{2}.svc:{3}", spec.name, i, spec.space, kNameServicePort));
  }
  Json status = {{"observedGeneration", k8s::GenerationOf(spec.resource)},
                 {"phase", verdict.phase},
                 {"replicas", sight.there},
                 {"readyReplicas", sight.ready},
                 {"updatedReplicas", sight.updated},
                 {"selector", selector},
                 {"address", fmt::format("{}.{}.svc:{}", spec.name, spec.space, kNameServicePort)},
                 {"endpoints", endpoints},
                 {"brokerGroups", observed.broker_groups},
                 {"image", spec.Image(defaults)},
                 {"conditions", Conditions(spec, sight, verdict, outcome.volumes, now)}};
  if (observed.outside_service != nullptr && IsExposed(spec.resource)) {
    // Ports of nodes are at each of them.
    if (std::string address = AddressOfService(*observed.outside_service, "*"); !address.empty()) {
      status["externalAddress"] = std::move(address);
    }
  }
  return status;
}

}  // namespace

Plan PlanNameService(const ObservedNameService& observed, const Defaults& defaults, Timestamp now) {
  const Spec spec(*observed.resource);
  Plan plan;
  Outcome outcome;
  outcome.volumes = NextVolumesStep({.resource = spec.resource,
                                     .replicas = spec.replicas,
                                     .stateful_set = observed.stateful_set,
                                     .claims = observed.claims,
                                     .growth_refused = observed.growth_refused});
  const bool hands_off = spec.paused || k8s::IsBeingDeleted(spec.resource);
  absl::StatusOr<std::string> file;
  if (!hands_off) {
    file = FileOf(spec);
    outcome.config = file.status();
    if (file.ok()) PlanObjects(observed, spec, Objects(observed, spec, defaults, *file), plan);
    if (file.ok()) plan.growths = outcome.volumes.growths;
  }
  if (outcome.config.ok() && !observed.taken.empty()) {
    outcome.config = absl::AlreadyExistsError(ToAbsl(observed.taken));
  }
  outcome.set_changes =
      IsSetGoing(observed) ||
      std::any_of(plan.applies.begin(), plan.applies.end(),
                  [](const Plan::Apply& apply) { return apply.type == StatefulSetType(); });
  plan.status = StatusOf(observed, spec, defaults, outcome, now);
  const Json* const conditions = k8s::Find(plan.status, {"conditions"});
  const bool ready = k8s::IsConditionTrue(*conditions, "Ready");
  if (ready && plan.applies.empty() && file.ok()) {
    // No instance has another one any more.
    for (Plan::Removal& former :
         ConfigMapsBut({FileNameOf(spec, *file)}, observed.applied, spec.space)) {
      plan.removals.push_back(std::move(former));
    }
    if (outcome.volumes.renews_set) PlanRenewal(*observed.stateful_set, plan);
  }
  if (!hands_off && !ready) plan.look_again = kSoon;
  return plan;
}

}  // namespace dunlin::op
