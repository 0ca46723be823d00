#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/topic_admin.h"

namespace dunlin::broker {
namespace {

namespace ns = nameservice::v1;

using ::testing::HasSubstr;

// The client's end of one WatchRoutes stream.
class RouteWatch {
 public:
  RouteWatch(ns::RouteService::Stub& stub, std::unique_ptr<grpc::ClientContext> context)
      : context_(std::move(context)), stream_(stub.WatchRoutes(context_.get())) {}
  ~RouteWatch() {
    if (!finished_) EXPECT_TRUE(Finish().ok());
  }

  void Write(const ns::WatchRoutesRequest& request) { stream_->Write(request); }
  void Watch(const std::vector<std::string>& topics, uint64_t version = 0) {
    ns::WatchRoutesRequest request;
    for (const std::string& topic : topics) {
      request.add_watch()->mutable_topic()->set_name(topic);
      request.mutable_watch()->rbegin()->set_version(version);
    }
    Write(request);
  }
  ns::WatchRoutesResponse Read() {
    ns::WatchRoutesResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  // The one route of the next response.
  ns::Route Route() {
    const ns::WatchRoutesResponse response = Read();
    EXPECT_EQ(response.routes_size(), 1) << response.ShortDebugString();
    return response.routes_size() == 1 ? response.routes(0) : ns::Route();
  }
  grpc::Status Finish() {
    finished_ = true;
    stream_->WritesDone();
    ns::WatchRoutesResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<ns::WatchRoutesRequest, ns::WatchRoutesResponse>>
      stream_;
  bool finished_ = false;
};

class RouteServiceTest : public MessagingServiceTest {
 protected:
  RouteServiceTest() { Connect(); }
  void Connect() {
    routes_ = ns::RouteService::NewStub(server_->InProcessChannel({}));
    admin_ = std::make_unique<TopicAdmin>(server_->InProcessChannel({}));
  }
  void Restart() {
    StopAll();
    Start();
    Connect();
  }
  RouteWatch Open() { return {*routes_, Context()}; }

  std::unique_ptr<ns::RouteService::Stub> routes_;
  std::unique_ptr<TopicAdmin> admin_;
};

TEST_F(RouteServiceTest, ARouteIsToldAtOnceAndWheneverItChanges) {
  RouteWatch watch = Open();
  watch.Watch({"t"});
  const ns::WatchRoutesResponse first = watch.Read();
  ASSERT_EQ(first.routes_size(), 1);
  EXPECT_EQ(first.routes(0).topic().name(), "t");
  EXPECT_EQ(first.routes(0).status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_THAT(first.routes(0).status().message(), HasSubstr("dunlinctl topic create t"));
  EXPECT_EQ(first.answered_requests(), 1u);
  ASSERT_EQ(first.brokers_size(), 1);
  ASSERT_EQ(first.brokers(0).members_size(), 1);
  EXPECT_EQ(first.brokers(0).members(0).endpoints().addresses_size(), 1);

  admin_->Create(TopicAdmin::Topic("t", 2));
  const ns::Route created = watch.Route();
  EXPECT_EQ(created.status().code(), v2::OK);
  ASSERT_EQ(created.queues_size(), 1);
  EXPECT_EQ(created.queues(0).broker(), first.brokers(0).name());
  EXPECT_EQ(created.queues(0).queues(), 2u);
  EXPECT_EQ(created.queues(0).permission(), v2::READ_WRITE);
  EXPECT_EQ(created.queues(0).accept_message_types(0), v2::NORMAL);

  admin_->Update(TopicAdmin::Topic("t", 3));
  const ns::Route grown = watch.Route();
  EXPECT_EQ(grown.queues(0).queues(), 3u);
  EXPECT_EQ(grown.queues(0).topic_id(), created.queues(0).topic_id());
  EXPECT_NE(grown.version(), created.version());

  admin::v1::Topic closed = TopicAdmin::Topic("t", 3);
  closed.set_permission(admin::v1::READ);
  admin_->Update(closed);
  EXPECT_EQ(watch.Route().queues(0).permission(), v2::READ);

  admin_->Delete("t");
  const ns::Route deleted = watch.Route();
  EXPECT_EQ(deleted.status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(deleted.queues_size(), 0);

  // Another topic of the same name.
  admin_->Create(TopicAdmin::Topic("t", 2));
  const ns::Route again = watch.Route();
  EXPECT_NE(again.queues(0).topic_id(), created.queues(0).topic_id());
  EXPECT_NE(again.version(), created.version());
}

TEST_F(RouteServiceTest, ATopicThatIsMadeAtItsFirstUseIsToldToo) {
  RouteWatch watch = Open();
  watch.Watch({"t"});
  watch.Read();
  EXPECT_EQ(Send("t", "body").status().code(), v2::OK);
  EXPECT_EQ(watch.Route().queues(0).queues(), 2u);
}

TEST_F(RouteServiceTest, WhatTheClientHasIsNotToldAgainNotEvenByAServerStartedAnew) {
  admin_->Create(TopicAdmin::Topic("t", 2));
  uint64_t version = 0;
  {
    RouteWatch watch = Open();
    watch.Watch({"t"});
    version = watch.Route().version();
  }
  Restart();
  RouteWatch watch = Open();
  watch.Watch({"t"}, version);
  const ns::WatchRoutesResponse unchanged = watch.Read();
  EXPECT_EQ(unchanged.routes_size(), 0);
  EXPECT_EQ(unchanged.answered_requests(), 1u);
  EXPECT_EQ(unchanged.brokers_size(), 1);  // who may have moved meanwhile
  admin_->Update(TopicAdmin::Topic("t", 3));
  EXPECT_EQ(watch.Route().queues(0).queues(), 3u);
  // Of a change that is none in the route nothing is told.
  admin::v1::Topic described = TopicAdmin::Topic("t", 3);
  described.set_description("another one");
  admin_->Update(described);
  admin_->Update(TopicAdmin::Topic("t", 4));
  EXPECT_EQ(watch.Route().queues(0).queues(), 4u);
}

TEST_F(RouteServiceTest, ASlowClientIsToldTheNewestState) {
  admin_->Create(TopicAdmin::Topic("t", 1));
  RouteWatch watch = Open();
  watch.Watch({"t"});
  EXPECT_EQ(watch.Route().queues(0).queues(), 1u);
  constexpr uint32_t kChanges = 50;
  for (uint32_t i = 1; i <= kChanges; ++i) admin_->Update(TopicAdmin::Topic("t", 1 + i));
  int told = 0;
  for (uint32_t queues = 0; queues != 1 + kChanges; ++told) {
    queues = watch.Route().queues(0).queues();
  }
  EXPECT_LE(told, 5);
}

TEST_F(RouteServiceTest, OfTopicsThatAreNotWatchedAnyMoreNothingIsTold) {
  admin_->Create(TopicAdmin::Topic("a", 1));
  admin_->Create(TopicAdmin::Topic("b", 1));
  RouteWatch watch = Open();
  watch.Watch({"a", "b"});
  EXPECT_EQ(watch.Read().routes_size(), 2);
  ns::WatchRoutesRequest request;
  request.add_unwatch()->set_name("a");
  request.add_unwatch()->set_name("never watched");
  watch.Write(request);
  EXPECT_EQ(watch.Read().answered_requests(), 2u);
  admin_->Update(TopicAdmin::Topic("a", 2));
  admin_->Update(TopicAdmin::Topic("b", 2));
  EXPECT_EQ(watch.Route().topic().name(), "b");
  // Both at once: it is told anew.
  request.clear_unwatch();
  request.add_unwatch()->set_name("b");
  request.add_watch()->mutable_topic()->set_name("b");
  watch.Write(request);
  EXPECT_EQ(watch.Route().queues(0).queues(), 2u);
}

TEST_F(RouteServiceTest, ManyTopicsAreToldInSeveralResponsesAndAnsweredByTheLast) {
  std::vector<std::string> topics;
  for (int i = 0; i < 2000; ++i) topics.push_back("topic-" + std::to_string(i));
  RouteWatch watch = Open();
  watch.Watch(topics);
  size_t told = 0;
  for (ns::WatchRoutesResponse response; response.answered_requests() == 0;) {
    ASSERT_LT(told, topics.size());
    response = watch.Read();
    told += static_cast<size_t>(response.routes_size());
  }
  EXPECT_EQ(told, topics.size());
}

TEST_F(RouteServiceTest, ANameThatNoTopicCanHaveIsRefusedAndTheOthersAreTold) {
  admin_->Create(TopicAdmin::Topic("t", 1));
  RouteWatch watch = Open();
  watch.Watch({"no topic!", "t"});
  const ns::WatchRoutesResponse response = watch.Read();
  ASSERT_EQ(response.routes_size(), 2);
  const bool first = response.routes(0).topic().name() == "t";
  const ns::Route& refused = response.routes(first ? 1 : 0);
  EXPECT_EQ(refused.status().code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(refused.topic().name(), "no topic!");
  EXPECT_EQ(refused.version(), 0u);
}

TEST_F(RouteServiceTest, ManyRefusalsComeInSeveralResponses) {
  constexpr size_t kMost = 10'000;
  const std::vector<std::string> names(kMost, "no topic!");
  RouteWatch watch = Open();
  watch.Watch(names);
  size_t told = 0;
  for (ns::WatchRoutesResponse response; response.answered_requests() == 0;) {
    ASSERT_LT(told, kMost);
    response = watch.Read();
    EXPECT_LE(response.routes_size(), 1000);
    told += static_cast<size_t>(response.routes_size());
  }
  EXPECT_EQ(told, kMost);
  ns::WatchRoutesRequest request;
  for (size_t i = 0; i < kMost; ++i) request.add_watch();
  request.add_unwatch();
  watch.Write(request);
  const grpc::Status status = watch.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("10001 topics"));
}

TEST_F(RouteServiceTest, NamespacesAreThoseOfTheTopicOrOfTheClient) {
  admin::v1::Topic topic = TopicAdmin::Topic("t", 3);
  topic.set_namespace_("space");
  admin_->Create(topic);
  auto context = Context();
  context->AddMetadata("x-mq-namespace", "space");
  RouteWatch inside(*routes_, std::move(context));
  inside.Watch({"t"});
  const ns::Route route = inside.Route();
  EXPECT_EQ(route.queues(0).queues(), 3u);
  EXPECT_EQ(route.topic().resource_namespace(), "space");
  RouteWatch outside = Open();
  outside.Watch({"t"});
  EXPECT_EQ(outside.Route().status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(RouteServiceTest, TheBrokerIsWhereTheClientReachedIt) {
  ns::WatchRoutesRequest request;
  request.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
  v2::Address& address = *request.mutable_endpoints()->add_addresses();
  address.set_host("gateway.example");
  address.set_port(443);
  RouteWatch watch = Open();
  watch.Write(request);
  const ns::WatchRoutesResponse response = watch.Read();
  ASSERT_EQ(response.brokers_size(), 1);
  EXPECT_EQ(response.brokers(0).members(0).endpoints().addresses(0).host(), "gateway.example");
  EXPECT_GT(response.brokers(0).epoch(), 0u);
}

TEST_F(RouteServiceTest, BrokenConversationsEnd) {
  RouteWatch anonymous(*routes_, Context(""));
  EXPECT_EQ(anonymous.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  ns::WatchRoutesRequest request;
  v2::Address& address = *request.mutable_endpoints()->add_addresses();
  address.set_port(70'000);
  RouteWatch nowhere = Open();
  nowhere.Write(request);
  EXPECT_EQ(nowhere.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  RouteWatch late = Open();
  late.Watch({"t"});
  late.Read();
  late.Write(request);
  const grpc::Status status = late.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("first request"));

  std::vector<std::string> many(12'000, std::string(100, 'x'));
  RouteWatch large = Open();
  large.Watch(many);
  EXPECT_EQ(large.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RouteServiceTest, AServerThatStopsSaysSo) {
  RouteWatch watch = Open();
  watch.Watch({"t"});
  watch.Read();
  broker_->Drain();
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  RouteWatch late = Open();
  EXPECT_EQ(late.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace dunlin::broker
