// ClusterRoutes: what the name services say of a topic at all brokers, for what a client asks one
// broker and means the cluster.
//
// Asks one name service after the other until one answers. Thread-safe; nothing waits but the
// destructor, for the questions under way.

#pragma once

#include <grpcpp/grpcpp.h>

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

  explicit ClusterRoutes(const std::vector<std::string>& name_services);
  ~ClusterRoutes();

  // `topic` with its namespace. `then` is called once, on a thread of gRPC, within two seconds. An
  // error: no name service knows; it says what the last one said.
  void Query(const apache::rocketmq::v2::Resource& topic, const std::string& zone, Then then)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Question;
  void Ask(std::shared_ptr<Question> question);
  void OnAnswer(const std::shared_ptr<Question>& question, const grpc::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<std::unique_ptr<apache::rocketmq::v2::MessagingService::Stub>> stubs_;
  Mutex mutex_;
  CondVar changed_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
