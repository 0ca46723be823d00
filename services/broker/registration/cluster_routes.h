// ClusterRoutes: what the name services say of a topic at all brokers, for what a client asks one
// broker and means the cluster.
//
// Asks one name service after the other until one answers, the one that answered last first, each
// for half a second at most: one that hangs costs that much once. Thread-safe; nothing waits but
// the destructor, for the questions under way.

#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin::broker {

class ClusterRoutes {
 public:
  using Route = apache::rocketmq::v2::QueryRouteResponse;
  using Then = absl::AnyInvocable<void(absl::StatusOr<Route>)>;

  // For metrics. Thread-safe.
  struct Counts {
    std::atomic<uint64_t> answered = 0;
    std::atomic<uint64_t> unanswered = 0;  // no name service knew
  };

  explicit ClusterRoutes(const std::vector<std::string>& name_services,
                         const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                             grpc::InsecureChannelCredentials());
  ~ClusterRoutes();

  // For whom a route is.
  struct Viewer {
    std::string zone;
    // How it has reached the cluster: from outside, brokers have other addresses. Empty: this
    // broker itself.
    apache::rocketmq::v2::Endpoints reached = {};
  };
  // `topic` with its namespace. `then` is called once, on a thread of gRPC. A topic that no broker
  // holds has a route without queues. UNAVAILABLE: no name service knows; what the last one said.
  void Query(const apache::rocketmq::v2::Resource& topic, const Viewer& viewer, Then then)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // May be asked even after the object is gone.
  std::shared_ptr<const Counts> counts() const { return counts_; }

 private:
  struct Question;
  void Ask(std::shared_ptr<Question> question);
  void OnAnswer(const std::shared_ptr<Question>& question, const grpc::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Count(bool answered, const std::string& why_not);

  const std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
  std::atomic<bool> failing_ = false;  // the last question had no answer
  std::atomic<size_t> first_ = 0;      // the name service that answered last
  std::vector<std::unique_ptr<apache::rocketmq::v2::MessagingService::Stub>> stubs_;
  Mutex mutex_;
  CondVar changed_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
