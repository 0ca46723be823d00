// Clients outside of the brokers' network: they reach name service and broker through mapped ports
// alone, and the name that the broker has inside means nothing to them.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/simple_consumer.h"

#include "e2e/harness/broker.h"
#include "e2e/harness/port_mapping.h"
#include "e2e/harness/program.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/testing/free_ports.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin {
namespace {

namespace v2 = apache::rocketmq::v2;

using e2e::PortMapping;
using e2e::Program;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kPatience{60};
// Nobody has such a name (RFC 6761).
constexpr char kInside[] = "broker-a.invalid";

class OutsideTest : public ::testing::Test {
 protected:
  OutsideTest()
      : home_(std::string(std::getenv("TEST_TMPDIR")) + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()),
        names_address_(FreeAddress()),
        broker_address_(FreeAddress()) {
    std::filesystem::create_directories(home_);
    names_outside_ = std::make_unique<PortMapping>(names_address_);
    StartNames();
    StartBroker();
    MakeTopic();
  }

  void StartNames() {
    auto started = Program::Start(
        {"services/nameservice/dunlin-nameservice", "--data-dir", home_ + "/names", "--set",
         "server.listen_address=" + names_address_, "--set", "server.tls.mode=OFF", "--set",
         "metrics.listen_address=", "--set", "registry.start_grace_ms=0"},
        home_ + "/names.log");
    ASSERT_THAT(started, IsOk());
    names_ = *std::move(started);
  }
  void StartBroker() {
    e2e::BrokerOptions options;
    options.program = "services/standalone/dunlin";
    options.data_dir = home_ + "/broker";
    options.stderr_file = home_ + "/broker.log";
    options.auto_create_topics = false;
    options.settings = {"server.listen_address=" + broker_address_,
                        "server.advertised_address=" + Inside(),
                        "metrics.listen_address=", "broker.name_services=" + names_address_,
                        "broker.external_address_file=" + home_ + "/address"};
    auto started = e2e::StartBroker(options);
    ASSERT_THAT(started, IsOk());
    broker_ = *std::move(started);
  }
  std::string Inside() const {
    return kInside + broker_address_.substr(broker_address_.rfind(':'));
  }
  void MakeTopic() const {
    const auto stub = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_address_, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_topic()->set_queues(1);
    admin::v1::Topic made;
    ASSERT_TRUE(stub->CreateTopic(&context, request, &made).ok());
  }
  // The broker is reached from outside by this mapping from now on.
  void MapBroker() {
    broker_outside_ = std::make_unique<PortMapping>(broker_address_);
    std::ofstream(home_ + "/address.new") << broker_outside_->address() << "\n";
    std::filesystem::rename(home_ + "/address.new", home_ + "/address");
  }

  // Where `server` says that the topic is to somebody who has reached it by `access_point`.
  template <typename Request, typename Response, typename Method>
  static std::string Ask(const std::string& server, const std::string& access_point, Method method,
                         const Request& of) {
    Request request = of;
    request.mutable_topic()->set_name("t");
    request.mutable_endpoints()->set_scheme(v2::IPv4);
    v2::Address& address = *request.mutable_endpoints()->add_addresses();
    address.set_host("127.0.0.1");
    address.set_port(std::stoi(access_point.substr(access_point.rfind(':') + 1)));
    grpc::ClientContext context;
    context.AddMetadata("x-mq-client-id", "test");
    Response response;
    const auto stub = v2::MessagingService::NewStub(
        grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
    const grpc::Status status = ((*stub).*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return PlaceIn(response);
  }
  static std::string PlaceIn(const v2::QueryRouteResponse& response) {
    return response.message_queues().empty() ? "" : PlaceOf(response.message_queues(0).broker());
  }
  static std::string PlaceIn(const v2::QueryAssignmentResponse& response) {
    return response.assignments().empty()
               ? ""
               : PlaceOf(response.assignments(0).message_queue().broker());
  }
  static std::string PlaceOf(const v2::Broker& broker) {
    const v2::Address& address = broker.endpoints().addresses(0);
    return fmt::format("{}:{}", address.host(), address.port());
  }
  static std::string RouteAt(const std::string& server, const std::string& access_point) {
    return Ask<v2::QueryRouteRequest, v2::QueryRouteResponse>(
        server, access_point,
        static_cast<grpc::Status (v2::MessagingService::Stub::*)(
            grpc::ClientContext*, const v2::QueryRouteRequest&, v2::QueryRouteResponse*)>(
            &v2::MessagingService::Stub::QueryRoute),
        {});
  }
  static std::string AssignmentAt(const std::string& server, const std::string& access_point) {
    v2::QueryAssignmentRequest request;
    request.mutable_group()->set_name("g");
    return Ask<v2::QueryAssignmentRequest, v2::QueryAssignmentResponse>(
        server, access_point,
        static_cast<grpc::Status (v2::MessagingService::Stub::*)(
            grpc::ClientContext*, const v2::QueryAssignmentRequest&, v2::QueryAssignmentResponse*)>(
            &v2::MessagingService::Stub::QueryAssignment),
        request);
  }
  bool AwaitRoute(const std::string& access_point, const std::string& wanted) const {
    for (const auto end = steady_clock::now() + kPatience; steady_clock::now() < end;) {
      if (RouteAt(names_address_, access_point) == wanted) return true;
      poll(nullptr, 0, 20);
    }
    return false;
  }

  const std::string home_;
  const std::string names_address_;
  const std::string broker_address_;
  std::unique_ptr<PortMapping> names_outside_;
  std::unique_ptr<PortMapping> broker_outside_;
  std::unique_ptr<Program> names_;
  std::unique_ptr<Program> broker_;
};

TEST_F(OutsideTest, EachIsToldWhereItReachesTheBroker) {
  const std::string& outside = names_outside_->address();
  // Nobody knows another address yet.
  ASSERT_TRUE(AwaitRoute(outside, Inside()));
  MapBroker();
  ASSERT_TRUE(AwaitRoute(outside, broker_outside_->address()));
  EXPECT_EQ(RouteAt(names_address_, names_address_), Inside());
  EXPECT_EQ(RouteAt(names_address_, broker_address_), Inside());
  EXPECT_EQ(AssignmentAt(names_address_, outside), broker_outside_->address());
  EXPECT_EQ(AssignmentAt(names_address_, names_address_), Inside());
  // SDKs ask brokers by the access point that they were given.
  EXPECT_EQ(AssignmentAt(broker_address_, outside), broker_outside_->address());
  EXPECT_EQ(AssignmentAt(broker_address_, names_address_), Inside());
  EXPECT_EQ(RouteAt(broker_address_, outside), broker_outside_->address());
  EXPECT_EQ(RouteAt(broker_address_, broker_outside_->address()), broker_outside_->address());
  std::filesystem::remove(home_ + "/address");
  EXPECT_TRUE(AwaitRoute(outside, Inside()));
}

TEST_F(OutsideTest, MessagesGoBothWaysAlsoWhenTheAddressBecomesAnother) {
  MapBroker();
  ASSERT_TRUE(AwaitRoute(names_outside_->address(), broker_outside_->address()));
  ClientOptions options;
  options.endpoint = names_outside_->address();
  absl::StatusOr<Client> client = Client::Connect(options);
  ASSERT_THAT(client, IsOk());
  absl::StatusOr<Producer> producer = client->MakeProducer({});
  ASSERT_THAT(producer, IsOk());
  SimpleConsumerOptions consuming;
  consuming.group = "g";
  absl::StatusOr<SimpleConsumer> consumer = client->MakeSimpleConsumer(consuming);
  ASSERT_THAT(consumer, IsOk());
  ASSERT_THAT(consumer->Subscribe("t"), IsOk());
  for (const std::string body : {"one", "other"}) {
    Message message;
    message.topic = "t";
    message.body = body;
    ASSERT_THAT(producer->Send(message), IsOk());
    bool received = false;
    for (const auto end = steady_clock::now() + kPatience;
         !received && steady_clock::now() < end;) {
      const auto messages = consumer->Receive(16, seconds(30));
      ASSERT_THAT(messages, IsOk());
      for (const ReceivedMessage& each : *messages) {
        // The first may come again: its ack may have been on its way when the connection broke.
        received = received || each.body() == body;
        EXPECT_THAT(consumer->Ack(each), IsOk());
      }
    }
    EXPECT_TRUE(received) << body;
    MapBroker();  // and the mapping that there was is gone
  }
}

}  // namespace
}  // namespace dunlin
