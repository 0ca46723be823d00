// ConfigText: the configuration file of a group's members. Pure; any thread.

#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"
#include "operator/planner/observed.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

inline constexpr int kClientPort = 8081;
inline constexpr int kNameServicePort = 9876;
inline constexpr int kMetricsPort = 5557;
inline constexpr int kReplicatorPort = 10912;
inline constexpr int kReplicatorMetricsPort = 5559;
inline constexpr char kDataDirectory[] = "/var/lib/dunlin";
inline constexpr char kConfigDirectory[] = "/etc/dunlin";
inline constexpr char kTlsDirectory[] = "/etc/dunlin-tls";
inline constexpr char kSecretDirectory[] = "/etc/dunlin-secret";
inline constexpr char kAccessDirectory[] = "/etc/dunlin-access";
inline constexpr char kEtcdTlsDirectory[] = "/etc/dunlin-etcd";
inline constexpr char kSecretKey[] = "secret";  // of the Secret; a file of that name

// How many members the configuration lists: what a group begins with, kept as it was written first,
// so that members that exist need not start anew when others come or go. Without a record it is the
// list that counts: as many as there are to be.
int ListedMembers(const Observed& observed, const BrokerGroupSpec& spec, int replicas);

// YAML: spec.config, and what follows from other fields, with a list of `members`. The same for all
// of them: what differs comes in by their environment. INVALID_ARGUMENT: the schema of
// configuration files (proto/dunlin/config/v1) does not have it so; the message names the field.
// FAILED_PRECONDITION: the NameService that is referred to is not there. UNAUTHENTICATED: nobody
// could ask these members for anything, as the Secret of their super user is not as it has to be.
absl::StatusOr<std::string> ConfigText(const Observed& observed, const BrokerGroupSpec& spec,
                                       int members);

// "orders-0.orders-members.shop.svc": by which a member is known as soon as there is a plan for it.
std::string HostOf(const BrokerGroupSpec& spec, const std::string& pod);

}  // namespace dunlin::op
