#include "operator/planner/spec.h"

#include "operator/k8s/object.h"

namespace dunlin::op {
namespace {

std::string StringOr(const k8s::Json& json, k8s::JsonPath path, std::string_view otherwise) {
  const std::string_view found = k8s::StringAt(json, path);
  return std::string(found.empty() ? otherwise : found);
}

std::string TlsMode(std::string_view mode) {
  if (mode == "Required") return "REQUIRED";
  if (mode == "Off") return "OFF";
  return "BOTH";
}

std::string ReplicationMode(std::string_view mode) {
  if (mode == "Async") return "ASYNC";
  if (mode == "Quorum") return "QUORUM";
  return "SYNC";
}

BrokerGroupSpec::Coordinator CoordinatorOf(std::string_view type) {
  if (type == "Etcd") return BrokerGroupSpec::Coordinator::kEtcd;
  if (type == "Static") return BrokerGroupSpec::Coordinator::kStatic;
  return BrokerGroupSpec::Coordinator::kKubernetes;
}

}  // namespace

BrokerGroupSpec::BrokerGroupSpec(const k8s::Json& group)
    : space(k8s::KeyOf(group).space),
      name(k8s::KeyOf(group).name),
      cluster_name(StringOr(group, {"spec", "clusterName"}, "DefaultCluster")),
      broker_name(StringOr(group, {"spec", "brokerName"}, name)),
      replicas(static_cast<int>(k8s::IntAt(group, {"spec", "replicas"}, 1))),
      min_in_sync(
          static_cast<int>(k8s::IntAt(group, {"spec", "replication", "minInSyncReplicas"}, 1))),
      replication_mode(ReplicationMode(k8s::StringAt(group, {"spec", "replication", "mode"}))),
      coordinator(CoordinatorOf(k8s::StringAt(group, {"spec", "failover", "coordinator", "type"}))),
      etcd_tls_secret(
          k8s::StringAt(group, {"spec", "failover", "coordinator", "etcd", "tlsSecretName"})),
      etcd_client_certificate(k8s::BoolAt(
          group, {"spec", "failover", "coordinator", "etcd", "clientCertificate"}, true)),
      preferred_master(k8s::StringAt(group, {"spec", "failover", "preferredMaster"})),
      min_switchover_interval(k8s::IntAt(group, {"spec", "failover", "minIntervalSeconds"}, 30)),
      lease(name + "-master"),
      secret(name + "-replication"),
      account(name + "-member"),
      image(k8s::StringAt(group, {"spec", "image"})),
      update_type(k8s::StringAt(group, {"spec", "update", "type"}) == "OnDelete"
                      ? UpdateType::kOnDelete
                      : UpdateType::kRollingUpdate),
      hand_over_before_update(k8s::StringAt(group, {"spec", "update", "masterUpdateMethod"}) !=
                              "Restart"),
      supervised(k8s::StringAt(group, {"spec", "update", "masterUpdatePolicy"}) == "Supervised"),
      progress_deadline(k8s::IntAt(group, {"spec", "update", "progressDeadlineSeconds"}, 600)),
      disruption_budget(k8s::BoolAt(group, {"spec", "podDisruptionBudget", "enabled"}, true)),
      tls_required(k8s::StringAt(group, {"spec", "tls", "mode"}) == "Required"),
      tls_mode(TlsMode(k8s::StringAt(group, {"spec", "tls", "mode"}))),
      tls_secret(k8s::StringAt(group, {"spec", "tls", "secretName"})),
      access_enabled(k8s::BoolAt(group, {"spec", "access", "enabled"})),
      super_user_secret(k8s::StringAt(group, {"spec", "access", "superUserSecretName"})),
      paused(k8s::AnnotationOf(group, "dunlin.dev/pause-reconciliation") == "true"),
      switchover_to(k8s::AnnotationOf(group, "dunlin.dev/switchover-to")) {}

}  // namespace dunlin::op
