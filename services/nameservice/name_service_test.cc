// The name service over gRPC: sessions of brokers, watches of clients, tools.

#include "services/nameservice/name_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/nameservice/testing/calls.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A broker's end of a Register call.
class Member {
 public:
  Member(v1::RegistryService::Stub& stub, const std::string& group, const std::string& topic = "",
         uint32_t queues = 2)
      : context_(NewContext()), stream_(stub.Register(context_.get())) {
    SayHello(group, "");
    if (topic.empty()) return;
    EXPECT_TRUE(Await([](const auto& response) { return response.has_send_table(); }));
    SendTable(topic, queues);
  }
  ~Member() {
    if (!finished_) Break();
  }

  void SayHello(const std::string& group, const std::string& zone) {
    v1::RegisterRequest request = HelloOf(group);
    request.mutable_hello()->set_zone(zone);
    Write(request);
  }
  void Write(const v1::RegisterRequest& request) { stream_->Write(request); }
  void SendTable(const std::string& topic, uint32_t queues) { Write(TableOf(topic, queues)); }
  v1::RegisterResponse Read() {
    v1::RegisterResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  template <typename Condition>
  bool Await(Condition condition) {
    v1::RegisterResponse response;
    while (stream_->Read(&response)) {
      if (condition(response)) return true;
    }
    return false;
  }
  // As when its process dies.
  void Break() {
    context_->TryCancel();
    (void)Finish();
  }
  grpc::Status Finish() {
    finished_ = true;
    v1::RegisterResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::RegisterRequest, v1::RegisterResponse>>
      stream_;
  bool finished_ = false;
};

// A client's end of a WatchRoutes call.
class Watch {
 public:
  Watch(v1::RouteService::Stub& stub, const std::vector<std::string>& topics,
        const std::string& zone = "")
      : context_(NewContext()) {
    if (!zone.empty()) context_->AddMetadata("x-dunlin-zone", zone);
    stream_ = stub.WatchRoutes(context_.get());
    v1::WatchRoutesRequest request;
    for (const std::string& topic : topics) {
      request.add_watch()->mutable_topic()->set_name(topic);
    }
    stream_->Write(request);
  }
  ~Watch() {
    stream_->WritesDone();
    v1::WatchRoutesResponse response;
    while (stream_->Read(&response)) {
    }
    EXPECT_TRUE(stream_->Finish().ok());
  }
  v1::WatchRoutesResponse Read() {
    v1::WatchRoutesResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  // Reads until `condition` is true of a response.
  template <typename Condition>
  v1::WatchRoutesResponse Await(Condition condition) {
    v1::WatchRoutesResponse response;
    while (stream_->Read(&response)) {
      if (condition(response)) return response;
    }
    ADD_FAILURE() << "the stream has ended";
    return {};
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WatchRoutesRequest, v1::WatchRoutesResponse>>
      stream_;
};

class NameServiceTest : public ::testing::Test {
 protected:
  NameServiceTest() {
    config_.set_start_grace_ms(0);
    Start();
  }
  ~NameServiceTest() override { Stop(); }

  void Start() {
    auto started =
        NameService::Start(config_, {.data_dir = directory_.path()}, RealFiles(), clock_);
    ASSERT_THAT(started, IsOk());
    service_ = *std::move(started);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : service_->services()) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    const auto channel = server_->InProcessChannel({});
    registry_ = v1::RegistryService::NewStub(channel);
    routes_ = v1::RouteService::NewStub(channel);
    messaging_ = v2::MessagingService::NewStub(channel);
  }
  void Stop() {
    if (service_ == nullptr) return;
    service_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    service_->Stop();
    server_.reset();
    service_.reset();
  }

  v2::QueryRouteResponse Query(const std::string& topic) {
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name(topic);
    v2::QueryRouteResponse response;
    EXPECT_TRUE(messaging_->QueryRoute(NewContext().get(), request, &response).ok());
    return response;
  }
  template <typename Request, typename Response>
  grpc::Status Ask(grpc::Status (v1::RegistryService::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                   const Request& request, Response& response) {
    const auto context = NewContext();
    return (registry_.get()->*method)(context.get(), request, &response);
  }

  const TempDir directory_;
  ManualClock clock_;
  config::v1::RegistryConfig config_;
  std::unique_ptr<NameService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::RegistryService::Stub> registry_;
  std::unique_ptr<v1::RouteService::Stub> routes_;
  std::unique_ptr<v2::MessagingService::Stub> messaging_;
};

TEST_F(NameServiceTest, ASessionIsWelcomedAskedForItsTopicsAndToldOfItsGroup) {
  Member member(*registry_, "a");
  const v1::RegisterResponse first = member.Read();
  ASSERT_TRUE(first.has_welcome()) << first.ShortDebugString();
  EXPECT_EQ(first.welcome().session_timeout_ms(), 10'000u);
  EXPECT_TRUE(member.Await([](const auto& response) { return response.has_send_table(); }));
  Member other(*registry_, "b", "t");
}

TEST_F(NameServiceTest, AWatchIsToldOfTopicsAndBrokersWhenTheyComeAndGo) {
  Watch watch(*routes_, {"t"});
  EXPECT_EQ(watch.Read().routes(0).status().code(), v2::TOPIC_NOT_FOUND);
  Member a(*registry_, "a", "t");
  const v1::WatchRoutesResponse come = watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).queues_size() == 1;
  });
  ASSERT_EQ(come.brokers_size(), 1);
  EXPECT_EQ(come.brokers(0).members(0).endpoints().addresses(0).host(), "a.local");
  a.Break();
  const v1::WatchRoutesResponse gone = watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).status().code() == v2::TOPIC_NOT_FOUND;
  });
  EXPECT_THAT(gone.routes(0).status().message(), HasSubstr("topic create t"));
}

TEST_F(NameServiceTest, AWatchOfAZoneIsToldWhenAMasterMovesToAnother) {
  Member a(*registry_, "a", "t");
  Watch watch(*routes_, {"t"}, "z");
  EXPECT_EQ(watch.Read().routes(0).status().code(), v2::TOPIC_NOT_FOUND);
  a.SayHello("a", "z");
  watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).status().code() == v2::OK;
  });
}

TEST_F(NameServiceTest, ABrokerGroupThatChangesIsToldWithoutItsTopics) {
  Member a(*registry_, "a", "t");
  Watch watch(*routes_, {"t"});
  watch.Await([](const auto& response) { return response.brokers_size() == 1; });
  v1::SetGroupWritableRequest request;
  request.set_broker_group("a");
  v1::SetGroupWritableResponse answer;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::SetGroupWritable, request, answer).ok());
  EXPECT_EQ(answer.topics(), 1u);
  const v1::WatchRoutesResponse told =
      watch.Await([](const auto& response) { return response.brokers_size() == 1; });
  EXPECT_TRUE(told.brokers(0).read_only());
  EXPECT_EQ(told.routes_size(), 0);
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ);
}

TEST_F(NameServiceTest, QueryRouteNamesTheQueuesOfAllBrokers) {
  Member a(*registry_, "a", "t");
  Member b(*registry_, "b", "t");
  Watch watch(*routes_, {"t"});
  watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).queues_size() == 2;
  });
  const v2::QueryRouteResponse route = Query("t");
  EXPECT_EQ(route.status().code(), v2::OK);
  ASSERT_EQ(route.message_queues_size(), 4);
  EXPECT_EQ(route.message_queues(0).broker().name(), "a");
  EXPECT_EQ(route.message_queues(3).broker().name(), "b");
  EXPECT_EQ(route.message_queues(3).broker().endpoints().addresses(0).host(), "b.local");
  EXPECT_EQ(Query("none").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Query("no good!").status().code(), v2::ILLEGAL_TOPIC);
}

TEST_F(NameServiceTest, ARouteThatNoClientCouldTakeIsRefused) {
  std::vector<std::unique_ptr<Member>> members;
  for (const char* group : {"a", "b", "c", "d", "e"}) {
    members.push_back(std::make_unique<Member>(*registry_, group, "t", 65'536));
  }
  Watch(*routes_, {"t"}).Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).queues_size() == 5;
  });
  const v2::QueryRouteResponse route = Query("t");
  EXPECT_EQ(route.status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_THAT(route.status().message(), HasSubstr("327680 queues at 5 broker groups"));
}

TEST_F(NameServiceTest, AssignmentsAreOfAllBrokers) {
  Member a(*registry_, "a", "t");
  Member b(*registry_, "b", "t");
  Watch(*routes_, {"t"}).Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).queues_size() == 2;
  });
  v2::QueryAssignmentRequest request;
  request.mutable_topic()->set_name("t");
  request.mutable_group()->set_name("g");
  v2::QueryAssignmentResponse response;
  EXPECT_TRUE(messaging_->QueryAssignment(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.assignments_size(), 2);
  EXPECT_EQ(response.assignments(1).message_queue().broker().name(), "b");
  EXPECT_EQ(response.assignments(1).message_queue().id(), -1);
}

TEST_F(NameServiceTest, WhatBelongsToABrokerIsRefusedWithAWordOnIt) {
  v2::HeartbeatResponse beat;
  EXPECT_TRUE(messaging_->Heartbeat(NewContext().get(), {}, &beat).ok());
  EXPECT_EQ(beat.status().code(), v2::NOT_IMPLEMENTED);
  EXPECT_THAT(beat.status().message(), HasSubstr("QueryRoute"));

  const auto context = NewContext();
  const auto telemetry = messaging_->Telemetry(context.get());
  EXPECT_EQ(telemetry->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(NameServiceTest, ASilentSessionEnds) {
  Member a(*registry_, "a", "t");
  Watch watch(*routes_, {"t"});
  watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).queues_size() == 1;
  });
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_EQ(a.Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  watch.Await([](const auto& response) {
    return response.routes_size() == 1 && response.routes(0).status().code() == v2::TOPIC_NOT_FOUND;
  });
}

TEST_F(NameServiceTest, AMemberIsUnregisteredAndToldSo) {
  Member a(*registry_, "a", "t");
  v1::UnregisterRequest request;
  request.mutable_identity()->set_broker_group("a");
  request.mutable_identity()->set_member("a");
  v1::UnregisterResponse response;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::Unregister, request, response).ok());
  EXPECT_EQ(a.Finish().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(Ask(&v1::RegistryService::Stub::Unregister, request, response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(NameServiceTest, RequestsThatBreakARuleEndTheSession) {
  Member a(*registry_, "a", "t");
  a.Write({});
  EXPECT_EQ(a.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  Member b(*registry_, "");
  EXPECT_EQ(b.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(NameServiceTest, ARequestHasTenThousandTopicsAtMost) {
  for (const int too_many : {0, 1}) {
    Member a(*registry_, "a", "t");
    v1::RegisterRequest request;
    request.mutable_changes()->mutable_base()->set_counter(1);
    request.mutable_changes()->mutable_version()->set_counter(2);
    for (int i = 0; i < 10'000 + too_many; ++i) {
      request.mutable_changes()->add_deleted()->set_name(std::to_string(i));
    }
    a.Write(request);
    if (too_many == 0) {
      a.SayHello("a", "");
      EXPECT_TRUE(a.Await([](const auto& response) { return response.has_send_table(); }))
          << "the version has moved on";
    } else {
      EXPECT_EQ(a.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    }
  }
}

TEST_F(NameServiceTest, AServiceThatStopsEndsItsSessions) {
  Member a(*registry_, "a", "t");
  service_->Drain();
  EXPECT_EQ(a.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(NameServiceTest, AfterARestartRoutesAreHeldBackUntilTheBrokersAreBack) {
  {
    Member a(*registry_, "a", "t");
    Watch(*routes_, {"t"}).Await([](const auto& response) {
      return response.routes_size() == 1 && response.routes(0).queues_size() == 1;
    });
  }
  Stop();
  config_.set_start_grace_ms(600'000);
  Start();
  EXPECT_EQ(Query("t").status().code(), v2::INTERNAL_SERVER_ERROR);
  Watch watch(*routes_, {"t", "none"});
  v1::ListClustersResponse clusters;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::ListClusters, {}, clusters).ok());
  EXPECT_FALSE(clusters.complete());
  EXPECT_THAT(clusters.awaited_groups(), ElementsAre("a"));
  Member a(*registry_, "a", "t");
  watch.Await([](const auto& response) { return response.answered_requests() == 1; });
  EXPECT_EQ(Query("t").status().code(), v2::OK);
}

TEST_F(NameServiceTest, ValuesAreKept) {
  v1::PutValueRequest put;
  put.set_name_space("ORDER_TOPIC_CONFIG");
  put.set_key("t");
  put.set_value("a:4;b:4");
  v1::PutValueResponse done;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::PutValue, put, done).ok());
  Stop();
  Start();
  v1::GetValueRequest get;
  get.set_name_space("ORDER_TOPIC_CONFIG");
  get.set_key("t");
  v1::GetValueResponse got;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::GetValue, get, got).ok());
  EXPECT_EQ(got.value(), "a:4;b:4");
  v1::ListValuesRequest list;
  list.set_name_space("ORDER_TOPIC_CONFIG");
  v1::ListValuesResponse listed;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::ListValues, list, listed).ok());
  EXPECT_EQ(listed.values().at("t"), "a:4;b:4");
  v1::DeleteValueRequest remove;
  remove.set_name_space("ORDER_TOPIC_CONFIG");
  remove.set_key("t");
  v1::DeleteValueResponse removed;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::DeleteValue, remove, removed).ok());
  EXPECT_EQ(Ask(&v1::RegistryService::Stub::GetValue, get, got).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(NameServiceTest, AGroupThatIsReadOnlyStaysSoAcrossARestart) {
  {
    Member a(*registry_, "a", "t");
    Watch(*routes_, {"t"}).Await([](const auto& response) {
      return response.routes_size() == 1 && response.routes(0).queues_size() == 1;
    });
    v1::SetGroupWritableRequest request;
    request.set_broker_group("a");
    v1::SetGroupWritableResponse answer;
    EXPECT_TRUE(Ask(&v1::RegistryService::Stub::SetGroupWritable, request, answer).ok());
  }
  Stop();
  Start();
  Member a(*registry_, "a", "t");
  Watch(*routes_, {"t"}).Await([](const auto& response) { return response.brokers_size() == 1; });
  v1::ListBrokerGroupsResponse groups;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::ListBrokerGroups, {}, groups).ok());
  ASSERT_EQ(groups.groups_size(), 1);
  EXPECT_FALSE(groups.groups(0).writable());
  EXPECT_EQ(groups.groups(0).topics(), 1u);
}

// What is on disk cannot be replaced while a directory stands in its place.
class BlockedState {
 public:
  explicit BlockedState(const std::string& data_dir) : path_(data_dir + "/name-service-state") {
    std::error_code error;
    do {
      std::filesystem::remove(path_, error);
    } while (!std::filesystem::create_directory(path_, error));
  }
  void Unblock() { std::filesystem::remove(path_); }
  bool IsSaved() const { return std::filesystem::is_regular_file(path_); }

 private:
  const std::string path_;
};

TEST_F(NameServiceTest, WhatCannotBeKeptIsNotDone) {
  Member a(*registry_, "a", "t");
  Watch(*routes_, {"t"}).Await([](const auto& response) { return response.brokers_size() == 1; });
  BlockedState state(directory_.path());
  v1::SetGroupWritableRequest request;
  request.set_broker_group("a");
  v1::SetGroupWritableResponse answer;
  EXPECT_FALSE(Ask(&v1::RegistryService::Stub::SetGroupWritable, request, answer).ok());
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ_WRITE);
  state.Unblock();
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::SetGroupWritable, request, answer).ok());
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ);
}

TEST_F(NameServiceTest, WhatCouldNotBeSavedIsSavedLater) {
  BlockedState state(directory_.path());
  {
    Member a(*registry_, "a", "t");
    Watch(*routes_, {"t"}).Await([](const auto& response) { return response.brokers_size() == 1; });
    // After the first try: the executor does one thing after the other.
    v1::PutValueResponse unsaved;
    v1::PutValueRequest put;
    put.set_name_space("n");
    put.set_key("k");
    EXPECT_FALSE(Ask(&v1::RegistryService::Stub::PutValue, put, unsaved).ok());
    state.Unblock();
    const auto begin = std::chrono::steady_clock::now();
    while (!state.IsSaved() &&
           std::chrono::steady_clock::now() - begin < std::chrono::seconds(20)) {
      std::this_thread::yield();
    }
    EXPECT_TRUE(state.IsSaved());
  }
  Stop();
  config_.set_start_grace_ms(600'000);
  Start();
  v1::ListClustersResponse clusters;
  EXPECT_TRUE(Ask(&v1::RegistryService::Stub::ListClusters, {}, clusters).ok());
  EXPECT_THAT(clusters.awaited_groups(), ElementsAre("a"));
}

}  // namespace
}  // namespace dunlin::nameservice
