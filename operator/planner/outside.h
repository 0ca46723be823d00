// Members for clients outside of Kubernetes, by spec.expose. Pure; any thread.
//
// | object | what for |
// |---|---|
// | Service POD-outside | of type NodePort or LoadBalancer, to one member |
// | ConfigMap NAME-outside | by pod: host:port of that Service, as far as it is known |
//
// Members read their own address from the ConfigMap, which they have as a directory: a new one is
// news to them within a minute or so, and no update of the group.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/object.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

// Of members and of name services. Clients outside are known by it: nobody inside has it.
inline constexpr int kOutsidePort = 8181;
inline constexpr int kOutsideNameServicePort = 9976;

bool IsExposed(const k8s::Json& resource);

// Of type spec.expose.type, with `port` of the pods under spec.expose.port; without a selector.
k8s::Json OutsideServiceSpec(const k8s::Json& resource, int port, int default_outside_port);

// host:port of a Service at this host; empty: its port is not known yet.
std::string AddressAt(const k8s::Json& service, std::string_view host);

// host:port by which a Service is reached from outside; empty: it is not known yet. `node`: of the
// nodes one that its ports are at.
std::string AddressOfService(const k8s::Json& service, std::string_view node);

// Those of `replicas` members; none, when the group is not exposed.
std::vector<Plan::Apply> OutsideObjects(const Observed& observed, const BrokerGroupSpec& spec,
                                        int replicas);
// Those that are there and not wanted.
std::vector<Plan::Removal> OutsideRemovals(const Observed& observed, const BrokerGroupSpec& spec,
                                           int replicas);

// The name of the ConfigMap.
std::string OutsideAddressesOf(const BrokerGroupSpec& spec);
// As it stands there for a pod, "host:port"; empty: it is not known yet, or not exposed.
std::string OutsideAddressOf(const Observed& observed, const std::string& pod);

// For the pods: where a broker reads its address.
k8s::Json OutsideVolume(const BrokerGroupSpec& spec);
void TellOutsideAddress(k8s::Json& container);

}  // namespace dunlin::op
