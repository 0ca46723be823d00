// BrokerAdmin: calls of the admin service of brokers (dunlin.admin.v1), each answered within
// seconds or not at all.
//
// Connections are kept, so that a look at a thousand topics does not make a thousand of them, and a
// broker that cannot be connected to is told of at once, until the next attempt some seconds later.
// Calls are signed where there is access control. A broker that takes TLS is spoken to by TLS, so
// that who listens learns no secrets of users; its certificate is not verified, as mostly nobody
// but itself has signed it. Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/controller/grpc_calls.h"
#include "operator/planner/cluster_resource.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class BrokerAdmin {
 public:
  using Stub = admin::v1::AdminService::Stub;
  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  BrokerAdmin() = default;
  BrokerAdmin(const BrokerAdmin&) = delete;
  BrokerAdmin& operator=(const BrokerAdmin&) = delete;

  // Waits for the answer. UNAUTHENTICATED: there are no credentials to sign with. UNAVAILABLE,
  // DEADLINE_EXCEEDED: nobody answered, or somebody who is not the master. Other codes are the
  // broker's own.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(const BrokerAt& at, Method<Request, Response> method,
                               const Request& request) {
    if (!at.credentials.ok()) return absl::UnauthenticatedError(at.credentials.status().message());
    grpc::ClientContext context;
    SetDeadline(context);
    Sign(*at.credentials, context);
    Response response;
    const grpc::Status status = (StubOf(at).get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  // UNAVAILABLE when who answers there is of another group: addresses of pods are given again.
  absl::Status CheckIdentity(const BrokerAt& at);

 private:
  std::shared_ptr<Stub> StubOf(const BrokerAt& at) ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  // By address, and whether by TLS.
  std::map<std::pair<std::string, bool>, std::shared_ptr<Stub>> stubs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::op
