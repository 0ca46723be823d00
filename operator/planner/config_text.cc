#include "operator/planner/config_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "operator/k8s/object.h"
#include "operator/planner/credentials.h"
#include "operator/planner/members.h"
#include "operator/planner/yaml_text.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// Members of a StatefulSet are known by their own names as soon as there is a plan for them.
std::vector<std::string> NameServers(const Json& group, const k8s::Object& name_service) {
  std::vector<std::string> addresses;
  if (const Json* const given = k8s::Find(group, {"spec", "nameServers"});
      given != nullptr && given->is_array()) {
    for (const Json& address : *given) addresses.push_back(address.get<std::string>());
  }
  if (name_service != nullptr) {
    const k8s::ObjectKey key = k8s::KeyOf(*name_service);
    const int64_t replicas = k8s::IntAt(*name_service, {"spec", "replicas"}, 2);
    for (int64_t i = 0; i < replicas; ++i) {
      addresses.push_back(
          fmt::format("{0}-{1}.{0}-members.{2}.svc:{3}", key.name, i, key.space, kNameServicePort));
    }
  }
  return addresses;
}

// What is as programs have it anyway is left out: those of an image of an earlier version do not
// know all of it.
void AddElections(const Json& group, const BrokerGroupSpec& spec, Json& replication) {
  struct Setting {
    std::string_view section;
    std::string_view field;
    const char* name;
    int64_t otherwise;
  };
  constexpr std::array<Setting, 3> kSettings = {
      {{"replication", "maxLagSeconds", "max_lag_seconds", 3},
       {"failover", "delaySeconds", "election_delay_seconds", 0},
       {"failover", "switchoverTimeoutSeconds", "switchover_timeout_seconds", 10}}};
  for (const Setting& setting : kSettings) {
    const int64_t value =
        k8s::IntAt(group, {"spec", setting.section, setting.field}, setting.otherwise);
    if (value != setting.otherwise) replication[setting.name] = value;
  }
  // Without a coordinator that elects nobody is elected anyway.
  if (!spec.HasRecord()) return;
  if (k8s::StringAt(group, {"spec", "failover", "mode"}) == "Manual") {
    replication["election"] = "MANUAL";
  }
  if (k8s::BoolAt(group, {"spec", "failover", "allowUncleanElection"}, false)) {
    constexpr int kUncleanAfterSeconds = 30;
    replication["unclean_election_after_seconds"] = kUncleanAfterSeconds;
  }
}

void AddEtcd(const Json& group, const BrokerGroupSpec& spec, Json& replication) {
  std::string endpoints;
  if (const Json* const given =
          k8s::Find(group, {"spec", "failover", "coordinator", "etcd", "endpoints"});
      given != nullptr && given->is_array()) {
    for (const Json& endpoint : *given) {
      endpoints += (endpoints.empty() ? "" : ", ") + endpoint.get<std::string>();
    }
  }
  replication["coordinator"] = "ETCD";
  replication["etcd_endpoints"] = endpoints;
  // Groups of other namespaces may have the same name.
  replication["etcd_prefix"] = "/dunlin/" + spec.space;
  if (spec.etcd_tls_secret.empty()) return;
  replication["etcd_ca_file"] = fmt::format("{}/ca.crt", kEtcdTlsDirectory);
  if (!spec.etcd_client_certificate) return;
  replication["etcd_certificate_file"] = fmt::format("{}/tls.crt", kEtcdTlsDirectory);
  replication["etcd_private_key_file"] = fmt::format("{}/tls.key", kEtcdTlsDirectory);
}

Json Replication(const Json& group, const BrokerGroupSpec& spec, int members) {
  std::string list;
  for (int i = 0; i < members; ++i) {
    const std::string pod = fmt::format("{}-{}", spec.name, i);
    list += fmt::format("{}{}={}:{}", i == 0 ? "" : ", ", pod, HostOf(spec, pod), kReplicatorPort);
  }
  // The member itself comes in by the environment.
  Json replication = {
      {"members", list},
      {"mode", spec.replication_mode},
      {"min_in_sync", spec.min_in_sync},
      {"lease_ttl_seconds", k8s::IntAt(group, {"spec", "failover", "masterLeaseSeconds"}, 6)},
      {"listen_address", fmt::format("0.0.0.0:{}", kReplicatorPort)},
      {"metrics_listen_address", fmt::format("0.0.0.0:{}", kReplicatorMetricsPort)},
      {"secret_file", fmt::format("{}/{}", kSecretDirectory, kSecretKey)}};
  AddElections(group, spec, replication);
  switch (spec.coordinator) {
    case BrokerGroupSpec::Coordinator::kKubernetes:
      replication["coordinator"] = "KUBERNETES";
      replication["kubernetes_lease"] = spec.lease;
      replication["kubernetes_namespace"] = spec.space;
      break;
    case BrokerGroupSpec::Coordinator::kEtcd:
      AddEtcd(group, spec, replication);
      break;
    case BrokerGroupSpec::Coordinator::kStatic:
      replication["coordinator"] = "STATIC";
      replication["master"] = spec.name + "-0";
      break;
  }
  return replication;
}

}  // namespace

std::string HostOf(const BrokerGroupSpec& spec, const std::string& pod) {
  return fmt::format("{}.{}-members.{}.svc", pod, spec.name, spec.space);
}

int ListedMembers(const Observed& observed, const BrokerGroupSpec& spec, int replicas) {
  if (!spec.HasRecord()) return replicas;
  std::string_view text;
  if (observed.stateful_set != nullptr) {
    text = k8s::StringAt(*observed.stateful_set,
                         {"spec", "template", "metadata", "annotations", kMembersAnnotation});
  } else {
    // One that is made anew is around the pods of the former.
    for (const k8s::Object& pod : observed.pods) {
      if (!k8s::IsBeingDeleted(*pod)) text = k8s::AnnotationOf(*pod, kMembersAnnotation);
    }
  }
  int listed = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), listed);
  return read.ec == std::errc() && listed > 0 ? listed : replicas;
}

absl::StatusOr<std::string> ConfigText(const Observed& observed, const BrokerGroupSpec& spec,
                                       int members) {
  const std::vector<std::string> name_servers = NameServers(*observed.group, observed.name_service);
  if (name_servers.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("NameService '{}' is not there: make it, or change nameServiceRef.name",
                    k8s::StringAt(*observed.group, {"spec", "nameServiceRef", "name"})));
  }
  if (!observed.super_user.ok()) {
    return absl::UnauthenticatedError(fmt::format(
        "access.superUserSecretName: {}", FromAbsl(observed.super_user.status().message())));
  }
  Json config = Json::object();
  if (const Json* const given = k8s::Find(*observed.group, {"spec", "config"});
      given != nullptr && given->is_object()) {
    config = *given;
  }
  config["data_dir"] = kDataDirectory;
  config["server"]["listen_address"] = fmt::format("0.0.0.0:{}", kClientPort);
  config["server"]["tls"]["mode"] = spec.tls_mode;
  if (!spec.tls_secret.empty()) {
    config["server"]["tls"]["certificate_file"] = std::string(kTlsDirectory) + "/tls.crt";
    config["server"]["tls"]["private_key_file"] = std::string(kTlsDirectory) + "/tls.key";
  }
  config["metrics"]["listen_address"] = fmt::format("0.0.0.0:{}", kMetricsPort);
  const bool sync = k8s::StringAt(*observed.group, {"spec", "replication", "flush"}) == "Sync";
  config["store"]["flush_mode"] = sync ? "SYNC_FLUSH" : "ASYNC_FLUSH";
  config["broker"]["cluster_name"] = spec.cluster_name;
  config["broker"]["broker_name"] = spec.broker_name;
  config["broker"]["name_services"] = name_servers;
  config["name_service"]["enabled"] = false;
  config["replication"] = Replication(*observed.group, spec, members);
  if (spec.access_enabled) {
    config["access"]["enabled"] = true;
    config["access"]["super_user"] = *observed.super_user;
    config["access"]["super_user_secret_file"] =
        fmt::format("{}/{}", kAccessDirectory, kSecretKeyEntry);
  }
  config::v1::DunlinConfig schema;
  return YamlText(config, schema, "BrokerGroup");
}

}  // namespace dunlin::op
