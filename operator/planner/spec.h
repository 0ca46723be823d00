// BrokerGroupSpec: the spec of a BrokerGroup, read. Pure; any thread.
//
// The API server has filled the defaults in and refused what is not valid (operator/crds); what is
// missing nevertheless has the same defaults here.

#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "operator/k8s/json.h"

namespace dunlin::op {

struct BrokerGroupSpec {
  enum class UpdateType { kRollingUpdate, kOnDelete };
  enum class Coordinator { kKubernetes, kEtcd, kStatic };

  explicit BrokerGroupSpec(const k8s::Json& group);

  std::string space;
  std::string name;  // metadata.name
  std::string cluster_name;
  std::string broker_name;
  int replicas = 1;
  int min_in_sync = 1;
  std::string replication_mode;  // of the configuration file: ASYNC, SYNC, QUORUM
  Coordinator coordinator = Coordinator::kKubernetes;
  // With kEtcd: the Secret with the certificates for TLS; empty: plaintext.
  std::string etcd_tls_secret;
  bool etcd_client_certificate = true;  // etcd asks for one
  std::string preferred_master;         // a pod; empty: whoever it is
  // After a change of the master, before the group is asked to hand over to the preferred one.
  std::chrono::seconds min_switchover_interval{30};
  std::string lease;    // with kKubernetes: the Lease that says who is master
  std::string secret;   // the Secret by which members know each other
  std::string account;  // with kKubernetes: the ServiceAccount of the pods
  std::string image;    // empty: the operator's own version

  UpdateType update_type = UpdateType::kRollingUpdate;
  bool hand_over_before_update = true;  // masterUpdateMethod Switchover
  bool supervised = false;              // masterUpdatePolicy Supervised
  std::chrono::seconds progress_deadline{600};
  bool disruption_budget = true;

  bool tls_required = false;
  std::string tls_mode;  // of the configuration file: BOTH, REQUIRED, OFF
  std::string tls_secret;

  bool access_enabled = false;
  std::string super_user_secret;  // the Secret of who may do everything; empty: there is none

  // Whether the coordinator keeps who the members are; without, their configuration says.
  bool HasRecord() const { return coordinator != Coordinator::kStatic; }
  bool NeedsAccount() const { return coordinator == Coordinator::kKubernetes; }

  // Annotations.
  bool paused = false;
  std::string switchover_to;  // a pod, or "any"; empty: not asked for
};

}  // namespace dunlin::op
