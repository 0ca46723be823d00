// The listener for clients alone, beside the first one of a name service.

#include "services/nameservice/client_listener.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/nameservice/testing/calls.h"
#include "services/runtime/testing/echo.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::HasSubstr;

class ClientListenerTest : public ::testing::Test {
 protected:
  ClientListenerTest() {
    config_.set_start_grace_ms(0);
    config_.set_clients_listen_address("127.0.0.1:0");
    of_server_.set_listen_address("127.0.0.1:0");
    of_server_.mutable_tls()->set_mode(config::v1::TlsConfig::OFF);
  }
  ~ClientListenerTest() override {
    if (service_ == nullptr) return;
    StopServing(*service_, *server_, clients_.get());
    service_->Drain();
    if (clients_ != nullptr) clients_->Stop(std::chrono::seconds(1));
    server_->Stop(std::chrono::seconds(1));
    service_->Stop();
  }

  void Start() {
    auto service =
        NameService::Start(config_, {.data_dir = directory_.path()}, RealFiles(), clock_);
    ASSERT_THAT(service, IsOk());
    service_ = *std::move(service);
    auto server = GrpcServer::Start(of_server_, directory_.path(), {service_->services(), nullptr});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    auto clients = ListenForClients(config_, {of_server_, directory_.path(), *server_}, *service_);
    ASSERT_THAT(clients, IsOk());
    clients_ = *std::move(clients);
  }
  static std::shared_ptr<grpc::Channel> ChannelTo(const GrpcServer& server) {
    return grpc::CreateChannel(fmt::format("127.0.0.1:{}", server.port()),
                               grpc::InsecureChannelCredentials());
  }
  void ExpectRefused(const grpc::Status& status, const std::string& method) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(status.error_message(), HasSubstr(method));
    EXPECT_THAT(status.error_message(), HasSubstr(fmt::format("port {}", server_->port())));
  }

  const TempDir directory_;
  ManualClock clock_;
  config::v1::RegistryConfig config_;
  config::v1::ServerConfig of_server_;
  std::unique_ptr<NameService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<GrpcServer> clients_;
};

TEST_F(ClientListenerTest, ThereIsNoneUnlessItIsAskedFor) {
  config_.clear_clients_listen_address();
  Start();
  EXPECT_EQ(clients_, nullptr);
}

TEST_F(ClientListenerTest, ItRefusesWhatIsNotForClientsAndTheFirstOneDoesNot) {
  Start();
  const auto stub = v1::RegistryService::NewStub(ChannelTo(*clients_));
  {
    const auto context = NewContext();
    const auto session = stub->Register(context.get());
    v1::RegisterResponse response;
    EXPECT_FALSE(session->Read(&response));
    ExpectRefused(session->Finish(), "Register");
  }
  v1::UnregisterResponse unregistered;
  ExpectRefused(stub->Unregister(NewContext().get(), {}, &unregistered), "Unregister");
  v1::SetGroupWritableResponse writable;
  ExpectRefused(stub->SetGroupWritable(NewContext().get(), {}, &writable), "SetGroupWritable");
  v1::PutValueRequest put;
  put.set_name_space("n");
  put.set_key("k");
  v1::PutValueResponse done;
  ExpectRefused(stub->PutValue(NewContext().get(), put, &done), "PutValue");
  v1::GetValueResponse value;
  ExpectRefused(stub->GetValue(NewContext().get(), {}, &value), "GetValue");
  v1::DeleteValueResponse deleted;
  ExpectRefused(stub->DeleteValue(NewContext().get(), {}, &deleted), "DeleteValue");
  v1::ListValuesResponse values;
  ExpectRefused(stub->ListValues(NewContext().get(), {}, &values), "ListValues");

  const auto first = v1::RegistryService::NewStub(ChannelTo(*server_));
  EXPECT_TRUE(first->PutValue(NewContext().get(), put, &done).ok());
}

TEST_F(ClientListenerTest, ItTellsClientsWhatTheyAsk) {
  Start();
  const auto brokers = v1::RegistryService::NewStub(ChannelTo(*server_));
  const auto session_context = NewContext();
  const auto session = brokers->Register(session_context.get());
  session->Write(HelloOf("a"));
  v1::RegisterResponse welcome;
  ASSERT_TRUE(session->Read(&welcome));
  ASSERT_TRUE(welcome.has_welcome()) << welcome.ShortDebugString();

  // Told of changes, too.
  const auto watch_context = NewContext();
  const auto watch =
      v1::RouteService::NewStub(ChannelTo(*clients_))->WatchRoutes(watch_context.get());
  v1::WatchRoutesRequest watched;
  watched.add_watch()->mutable_topic()->set_name("t");
  watch->Write(watched);
  v1::WatchRoutesResponse told;
  ASSERT_TRUE(watch->Read(&told));
  EXPECT_EQ(told.routes(0).status().code(), v2::TOPIC_NOT_FOUND);
  session->Write(TableOf("t"));
  while (told.routes_size() == 0 || told.routes(0).queues_size() == 0) {
    ASSERT_TRUE(watch->Read(&told));
  }
  watch->WritesDone();
  while (watch->Read(&told)) {
  }
  EXPECT_TRUE(watch->Finish().ok());

  const auto registry = v1::RegistryService::NewStub(ChannelTo(*clients_));
  v1::ListClustersResponse clusters;
  EXPECT_TRUE(registry->ListClusters(NewContext().get(), {}, &clusters).ok());
  v1::ListBrokerGroupsResponse groups;
  EXPECT_TRUE(registry->ListBrokerGroups(NewContext().get(), {}, &groups).ok());
  EXPECT_EQ(groups.groups_size(), 1);
  v1::ListTopicsResponse topics;
  EXPECT_TRUE(registry->ListTopics(NewContext().get(), {}, &topics).ok());
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name("t");
  v2::QueryRouteResponse route;
  const auto messaging = v2::MessagingService::NewStub(ChannelTo(*clients_));
  EXPECT_TRUE(messaging->QueryRoute(NewContext().get(), request, &route).ok());
  EXPECT_EQ(route.status().code(), v2::OK);
  session_context->TryCancel();
  while (session->Read(&welcome)) {
  }
  (void)session->Finish();
}

TEST_F(ClientListenerTest, EncryptionIsThatOfTheFirstOne) {
  of_server_.mutable_tls()->set_mode(config::v1::TlsConfig::REQUIRED);
  Start();
  v1::ListClustersResponse clusters;
  const auto plain = v1::RegistryService::NewStub(ChannelTo(*clients_));
  EXPECT_FALSE(plain->ListClusters(NewContext().get(), {}, &clusters).ok());
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_verify_server_certs(false);
  tls.set_check_call_host(false);
  tls.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  const auto encrypted = v1::RegistryService::NewStub(grpc::CreateChannel(
      fmt::format("127.0.0.1:{}", clients_->port()), grpc::experimental::TlsCredentials(tls)));
  const grpc::Status listed = encrypted->ListClusters(NewContext().get(), {}, &clusters);
  EXPECT_TRUE(listed.ok()) << listed.error_message();
}

// Who goes by health checks sends no client to one that knows nothing yet.
TEST_F(ClientListenerTest, HealthChecksWaitUntilRoutesAreTold) {
  config_.set_start_grace_ms(600'000);
  Start();
  const auto is_serving = [](const GrpcServer& server) {
    return Call(ChannelTo(server), "/grpc.health.v1.Health/Check", "").body == "\x08\x01";
  };
  ServeWhenReady(*service_, *server_, clients_.get());
  EXPECT_FALSE(is_serving(*server_));
  EXPECT_FALSE(is_serving(*clients_));
  clock_.Advance(std::chrono::minutes(10));
  while (!is_serving(*server_) || !is_serving(*clients_)) poll(nullptr, 0, 10);
  StopServing(*service_, *server_, clients_.get());
  EXPECT_FALSE(is_serving(*server_));
  EXPECT_FALSE(is_serving(*clients_));
  // At once, when they are told already.
  ServeWhenReady(*service_, *server_, clients_.get());
  EXPECT_TRUE(is_serving(*server_));
  EXPECT_TRUE(is_serving(*clients_));
}

TEST_F(ClientListenerTest, ConnectionsOfBothAreCounted) {
  Start();
  v1::ListClustersResponse clusters;
  const auto at_first = v1::RegistryService::NewStub(ChannelTo(*server_));
  const auto at_clients = v1::RegistryService::NewStub(ChannelTo(*clients_));
  EXPECT_TRUE(at_first->ListClusters(NewContext().get(), {}, &clusters).ok());
  EXPECT_TRUE(at_clients->ListClusters(NewContext().get(), {}, &clusters).ok());
  EXPECT_EQ(CountConnections(*server_, nullptr)().accepted, 1u);
  EXPECT_EQ(CountConnections(*server_, clients_.get())().accepted, 2u);
}

}  // namespace
}  // namespace dunlin::nameservice
