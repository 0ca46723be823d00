// EtcdClient: the calls of etcd's v3 API that the coordinator needs, one endpoint at a time.
//
// Everything happens on the thread of the GrpcLoop: calls are made there, callbacks come there,
// each exactly once. A call is tried once; after one that failed NextEndpoint() moves on.
//
// With a login the first call fetches a token, which goes with every call from then on. It is
// renewed before etcd forgets it; one that etcd does not know any more (it was started anew) is
// dropped, and the next call fetches another.

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"

#include "proto/etcd/v3/rpc.grpc.pb.h"
#include "services/replicator/coordinator/grpc_loop.h"

namespace dunlin::replicator {

// Who a client says it is. No user: etcd asks nobody.
struct EtcdLogin {
  std::string user;
  std::string password;
};

class EtcdClient {
 public:
  template <typename Response>
  using Done = absl::AnyInvocable<void(const grpc::Status&, const Response&)>;

  // `endpoints`: host:port; not empty. `credentials` as gRPC makes them.
  EtcdClient(GrpcLoop& loop, const std::vector<std::string>& endpoints,
             const std::shared_ptr<grpc::ChannelCredentials>& credentials, EtcdLogin login,
             Duration call_timeout);
  ~EtcdClient();

  const std::string& endpoint() const { return endpoints_[current_].name; }
  void NextEndpoint() { current_ = (current_ + 1) % endpoints_.size(); }

  void Range(const etcdserverpb::RangeRequest& request, Done<etcdserverpb::RangeResponse> done);
  void Txn(const etcdserverpb::TxnRequest& request, Done<etcdserverpb::TxnResponse> done);
  void LeaseGrant(int64_t ttl_seconds, Done<etcdserverpb::LeaseGrantResponse> done);
  void LeaseRevoke(int64_t id, Done<etcdserverpb::LeaseRevokeResponse> done);
  // One renewal, on a stream of its own: a renewal that hangs holds up no other.
  void LeaseKeepAlive(int64_t id, Done<etcdserverpb::LeaseKeepAliveResponse> done);

  // Responses come until the stream ends; the handle cancels it, after which nothing comes.
  class WatchStream {
   public:
    virtual ~WatchStream() = default;
    virtual void Cancel() = 0;
  };
  using OnWatched = absl::AnyInvocable<void(const etcdserverpb::WatchResponse&)>;
  using OnWatchEnd = absl::AnyInvocable<void(const grpc::Status&)>;
  // The handle is valid until Cancel or until `on_end` was called.
  WatchStream* Watch(const etcdserverpb::WatchCreateRequest& request, OnWatched on_response,
                     OnWatchEnd on_end);

  // Everything under way ends with CANCELLED.
  void CancelAll();

 private:
  struct Endpoint {
    std::string name;
    std::unique_ptr<etcdserverpb::KV::Stub> kv;
    std::unique_ptr<etcdserverpb::Lease::Stub> lease;
    std::unique_ptr<etcdserverpb::Watch::Stub> watch;
    std::unique_ptr<etcdserverpb::Auth::Stub> auth;
  };
  // Called with OK once a call may be made; else that is the call's outcome.
  using Ready = absl::AnyInvocable<void(const grpc::Status&)>;
  template <typename Response>
  class UnaryCall;
  class KeepAliveCall;
  class WatchCall;

  void LogIn(Ready ready);
  void Authenticate();
  void OnAuthenticated(const grpc::Status& status,
                       const etcdserverpb::AuthenticateResponse& answer);
  // What a call ended with.
  void LookAt(const grpc::Status& status);
  void Prepare(grpc::ClientContext& context);
  void Forget(grpc::ClientContext& context) { live_.erase(&context); }

  GrpcLoop& loop_;
  const EtcdLogin login_;
  const Duration call_timeout_;
  std::string token_;  // empty: none
  uint64_t tokens_ = 0;
  std::vector<Ready> waiting_;  // for a token that is on its way
  std::vector<Endpoint> endpoints_;
  size_t current_ = 0;
  std::set<grpc::ClientContext*> live_;
};

}  // namespace dunlin::replicator
