// OtherBrokers: passes requests that landed at the wrong member of the cluster on to the right one,
// by the routes that name services tell.
//
// Once at most: what was passed on before is refused by whoever is not the right one either (see
// services/relay/relay.h, whose limits hold for what waits for a route, too). Thread-safe; nothing
// waits but the destructor, for the questions under way. A crash leaves nothing behind.

#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/mutex.h"
#include "services/broker/registration/cluster_routes.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/holders.h"
#include "services/broker/rpc/passed_on_stream.h"
#include "services/relay/relay.h"

namespace dunlin::broker {

class OtherBrokers {
 public:
  struct Options {
    std::string group;  // that this member is of
    // What its group's master is to get goes nowhere else; a slave passes it on to the master.
    bool is_master = false;
    std::vector<std::string> name_services;  // host:port
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  };
  explicit OtherBrokers(const Options& options);

  // A request as it came; lives until it is answered.
  struct Request {
    const grpc::CallbackServerContext& context;
    const grpc::ByteBuffer& bytes;
    const char* method;  // of apache.rocketmq.v2.MessagingService
  };
  // Either an answer, as the right broker gave it, or the status to answer with: `refusal`, with
  // the reason why the request was not passed on, or that the right broker does not answer. Called
  // once, on one of gRPC's threads or before Pass returns.
  using Done =
      absl::AnyInvocable<void(const absl::Status& refused, const grpc::ByteBuffer& answer)>;
  // `refusal` is what this member says for its own part.
  void Pass(const Request& request, Destination to, const absl::Status& refusal, Done done)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The same, with an answer that is read message by message, and then ends `call`.
  template <typename Reactor>
  void PassStream(const Request& request, Destination to, const absl::Status& refusal,
                  std::shared_ptr<PassedOnStream<Reactor>> call) ABSL_LOCKS_EXCLUDED(mutex_) {
    Find(request, std::move(to), refusal,
         [this, method = request.method, bytes = request.bytes, call = std::move(call)](
             const absl::StatusOr<Holder>& holder, const Relay::Caller& caller) {
           if (!holder.ok()) return call->Refuse(holder.status());
           call->PassTo(relay_, *holder, method, caller, bytes);
         });
  }

  // Where the queues of topics are at all of them.
  ClusterRoutes& routes() { return routes_; }

  // Breaks off long polls that were passed on: nobody is to wait for them.
  void CancelPolls() { relay_.CancelPolls(); }
  // Breaks off what was passed on, and refuses what comes.
  void Cancel() { relay_.Cancel(); }

 private:
  // Where a request belongs, or the status to answer with, and who has asked. Called once.
  using Found =
      absl::AnyInvocable<void(const absl::StatusOr<Holder>& holder, const Relay::Caller& caller)>;
  struct Question;

  void Find(const Request& request, Destination to, const absl::Status& refusal, Found found)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // False: too many wait for their route.
  bool Enter(Relay::Kind kind, uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(Relay::Kind kind, uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Those of the route that the request may go to.
  Holders HoldersIn(const ClusterRoutes::Route& route, const Destination& to) const;
  absl::StatusOr<Holder> FindIn(const absl::StatusOr<ClusterRoutes::Route>& route,
                                const Question& question) const;

  const std::string group_;
  const bool is_master_;
  const Relay::Limits limits_;
  Mutex mutex_;
  struct Waiting {
    size_t calls = 0;
    uint64_t bytes = 0;
  };
  std::array<Waiting, 2> waiting_ ABSL_GUARDED_BY(mutex_);  // for a route, by kind
  Relay relay_;
  ClusterRoutes routes_;  // goes first: what it is asked ends at the relay
};

}  // namespace dunlin::broker
