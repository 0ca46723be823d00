#include "operator/planner/outside.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "operator/planner/children.h"
#include "operator/planner/config_text.h"
#include "operator/planner/pod_parts.h"
#include "operator/planner/resource_types.h"
#include "services/runtime/host_port.h"

namespace dunlin::op {
namespace {

using k8s::Json;

constexpr std::string_view kSuffix = "-outside";
constexpr std::string_view kDirectory = "/etc/dunlin-outside";
constexpr char kPodNameLabel[] = "statefulset.kubernetes.io/pod-name";

std::string PodOf(const BrokerGroupSpec& spec, int ordinal) {
  return fmt::format("{}-{}", spec.name, ordinal);
}

std::string ServiceOf(std::string_view pod) { return fmt::format("{}{}", pod, kSuffix); }

// "orders-0-outside" of the group orders, and not the Service of a group that is called so.
bool IsOfMember(std::string_view service, const BrokerGroupSpec& spec) {
  const std::string prefix = spec.name + "-";
  if (!service.starts_with(prefix) || !service.ends_with(kSuffix)) return false;
  service.remove_prefix(prefix.size());
  if (service.size() <= kSuffix.size()) return false;
  service.remove_suffix(kSuffix.size());
  return service.find_first_not_of("0123456789") == std::string_view::npos;
}

k8s::Object Find(const std::vector<k8s::Object>& objects, const std::string& name) {
  const auto found = std::find_if(objects.begin(), objects.end(), [&](const k8s::Object& object) {
    return k8s::KeyOf(*object).name == name;
  });
  return found == objects.end() ? nullptr : *found;
}

// What spec.expose.advertisedHosts says of the pod; empty: nothing.
std::string AdvertisedHost(const Json& group, const std::string& pod) {
  const Json* const hosts = k8s::Find(group, {"spec", "expose", "advertisedHosts"});
  if (hosts == nullptr || !hosts->is_array()) return "";
  const std::string ordinal = pod.substr(pod.rfind('-') + 1);
  size_t at = 0;
  const auto read = std::from_chars(ordinal.data(), ordinal.data() + ordinal.size(), at);
  if (read.ec != std::errc() || at >= hosts->size() || !(*hosts)[at].is_string()) return "";
  return (*hosts)[at].get<std::string>();
}

Json ServiceFor(const Json& group, const BrokerGroupSpec& spec, const std::string& pod) {
  Json service = NewChild(group, spec, ServiceType(), ServiceOf(pod));
  service["spec"] = OutsideServiceSpec(group, kClientPort, kOutsidePort);
  service["spec"]["selector"] = SelectorLabels(spec);
  service["spec"]["selector"][kPodNameLabel] = pod;
  if (const Json* const annotations = k8s::Find(group, {"spec", "expose", "annotations"})) {
    service["metadata"]["annotations"] = *annotations;
  }
  return service;
}

}  // namespace

bool IsExposed(const Json& resource) {
  const std::string_view type = k8s::StringAt(resource, {"spec", "expose", "type"});
  return type == "NodePort" || type == "LoadBalancer";
}

Json OutsideServiceSpec(const Json& resource, int port, int default_outside_port) {
  const int64_t outside = k8s::IntAt(resource, {"spec", "expose", "port"}, default_outside_port);
  const Json grpc = {
      {"name", "grpc"}, {"port", outside}, {"targetPort", port}, {"protocol", "TCP"}};
  return {{"type", k8s::StringAt(resource, {"spec", "expose", "type"})},
          {"ports", Json::array({grpc})}};
}

std::string AddressAt(const Json& service, std::string_view host) {
  const Json* const ports = k8s::Find(service, {"spec", "ports"});
  if (ports == nullptr || !ports->is_array() || ports->empty()) return "";
  const bool of_nodes = k8s::StringAt(service, {"spec", "type"}) == "NodePort";
  const auto port =
      static_cast<uint16_t>(k8s::IntAt((*ports)[0], {of_nodes ? "nodePort" : "port"}));
  return port == 0 || host.empty() ? "" : FormatHostPort({std::string(host), port});
}

std::string AddressOfService(const Json& service, std::string_view node) {
  if (k8s::StringAt(service, {"spec", "type"}) == "NodePort") return AddressAt(service, node);
  const Json* const ingress = k8s::Find(service, {"status", "loadBalancer", "ingress"});
  if (ingress == nullptr || !ingress->is_array() || ingress->empty()) return "";
  const std::string_view ip = k8s::StringAt((*ingress)[0], {"ip"});
  return AddressAt(service, ip.empty() ? k8s::StringAt((*ingress)[0], {"hostname"}) : ip);
}

std::string OutsideAddressesOf(const BrokerGroupSpec& spec) {
  return spec.name + std::string(kSuffix);
}

std::string OutsideAddressOf(const Observed& observed, const std::string& pod) {
  if (!IsExposed(*observed.group)) return "";
  const std::string advertised = AdvertisedHost(*observed.group, pod);
  if (ParseHostPort(advertised).has_value()) return advertised;
  const k8s::Object service = Find(observed.services, ServiceOf(pod));
  if (service == nullptr) return "";
  const k8s::Object member = Find(observed.pods, pod);
  std::string_view node;
  if (member != nullptr) node = k8s::StringAt(*member, {"status", "hostIP"});
  if (!advertised.empty()) return AddressAt(*service, advertised);
  std::string known = AddressOfService(*service, node);
  if (!known.empty() || observed.outside_addresses == nullptr) return known;
  // While its pod is replaced its address stays as it was: ports of nodes are at all of them.
  known = k8s::StringAt(*observed.outside_addresses, {"data", pod});
  if (known.ends_with('\n')) known.pop_back();
  return known;
}

std::vector<Plan::Apply> OutsideObjects(const Observed& observed, const BrokerGroupSpec& spec,
                                        int replicas) {
  const Json& group = *observed.group;
  std::vector<Plan::Apply> objects;
  if (!IsExposed(group)) return objects;
  Json addresses = NewChild(group, spec, ConfigMapType(), OutsideAddressesOf(spec));
  addresses["data"] = Json::object();
  for (int i = 0; i < replicas; ++i) {
    const std::string pod = PodOf(spec, i);
    objects.push_back({ServiceType(), ServiceFor(group, spec, pod)});
    if (const std::string address = OutsideAddressOf(observed, pod); !address.empty()) {
      addresses["data"][pod] = address + "\n";
    }
  }
  objects.push_back({ConfigMapType(), std::move(addresses)});
  return objects;
}

std::vector<Plan::Removal> OutsideRemovals(const Observed& observed, const BrokerGroupSpec& spec,
                                           int replicas) {
  const bool exposed = IsExposed(*observed.group);
  std::set<std::string> wanted;
  for (int i = 0; exposed && i < replicas; ++i) wanted.insert(ServiceOf(PodOf(spec, i)));
  std::vector<Plan::Removal> removals;
  for (const k8s::Object& service : observed.services) {
    std::string name = k8s::KeyOf(*service).name;
    if (!IsOfMember(name, spec) || wanted.contains(name)) continue;
    removals.push_back({.type = ServiceType(), .object = {spec.space, std::move(name)}});
  }
  const std::string addresses = OutsideAddressesOf(spec);
  if (!exposed && observed.applied.contains(ConfigMapType().kind + "/" + addresses)) {
    removals.push_back({.type = ConfigMapType(), .object = {spec.space, addresses}});
  }
  return removals;
}

Json OutsideVolume(const BrokerGroupSpec& spec) {
  // Members start without it, too: what is not known now comes later.
  return {{"name", "outside"},
          {"configMap", {{"name", OutsideAddressesOf(spec)}, {"optional", true}}}};
}

void TellOutsideAddress(Json& container) {
  container["volumeMounts"].push_back(
      {{"name", "outside"}, {"mountPath", kDirectory}, {"readOnly", true}});
  container["env"].push_back({{"name", "DUNLIN_BROKER__EXTERNAL_ADDRESS_FILE"},
                              {"value", fmt::format("{}/$(POD_NAME)", kDirectory)}});
}

}  // namespace dunlin::op
