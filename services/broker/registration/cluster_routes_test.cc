// What is asked of which name service, when some of them hang or do not know.

#include "services/broker/registration/cluster_routes.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::HasSubstr;

// Answers QueryRoute with the same code always, and one queue when that is OK.
class Names final : public v2::MessagingService::Service {
 public:
  explicit Names(v2::Code code) : code_(code) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Names() override { server_->Shutdown(); }

  grpc::Status QueryRoute(grpc::ServerContext* /*context*/,
                          const v2::QueryRouteRequest* /*request*/,
                          v2::QueryRouteResponse* response) override {
    ++asked_;
    response->mutable_status()->set_code(code_);
    response->mutable_status()->set_message("said by a name service");
    if (code_ == v2::OK) response->add_message_queues()->set_id(port_);
    return grpc::Status::OK;
  }

  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }
  int Port() const { return port_; }
  int Asked() const { return asked_; }

 private:
  const v2::Code code_;
  std::atomic<int> asked_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Takes connections and never says a word, as a process that was stopped does.
class FrozenNames {
 public:
  FrozenNames() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~FrozenNames() { close(fd_); }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  const int fd_;
  int port_ = 0;
};

absl::StatusOr<v2::QueryRouteResponse> Query(ClusterRoutes& routes) {
  std::promise<absl::StatusOr<v2::QueryRouteResponse>> answer;
  v2::Resource topic;
  topic.set_name("t");
  routes.Query(topic, {}, [&answer](absl::StatusOr<v2::QueryRouteResponse> route) {
    answer.set_value(std::move(route));
  });
  return answer.get_future().get();
}

TEST(ClusterRoutesTest, AHangingNameServiceDoesNotTakeTheTimeOfTheNext) {
  const FrozenNames frozen;
  const Names alive(v2::OK);
  ClusterRoutes routes({frozen.Address(), alive.Address()});
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<v2::QueryRouteResponse> route = Query(routes);
    ASSERT_THAT(route, IsOk());
    EXPECT_EQ(route->message_queues(0).id(), alive.Port());
  }
  EXPECT_EQ(routes.counts()->answered, 3u);
  EXPECT_EQ(routes.counts()->unanswered, 0u);
}

TEST(ClusterRoutesTest, TheOneThatAnsweredLastIsAskedFirst) {
  const Names starting(v2::INTERNAL_SERVER_ERROR);
  const Names ready(v2::OK);
  ClusterRoutes routes({starting.Address(), ready.Address()});
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Query(routes), IsOk());
  EXPECT_EQ(starting.Asked(), 1);
  EXPECT_EQ(ready.Asked(), 3);
}

TEST(ClusterRoutesTest, ATopicThatNobodyHoldsHasNoQueues) {
  const Names names(v2::TOPIC_NOT_FOUND);
  ClusterRoutes routes({names.Address()});
  const absl::StatusOr<v2::QueryRouteResponse> route = Query(routes);
  ASSERT_THAT(route, IsOk());
  EXPECT_EQ(route->message_queues_size(), 0);
}

TEST(ClusterRoutesTest, WithoutAnAnswerThereIsAnError) {
  const Names starting(v2::INTERNAL_SERVER_ERROR);
  ClusterRoutes routes({"127.0.0.1:1", starting.Address()});
  EXPECT_THAT(Query(routes), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("said by")));
  EXPECT_EQ(routes.counts()->unanswered, 1u);
}

}  // namespace
}  // namespace dunlin::broker
