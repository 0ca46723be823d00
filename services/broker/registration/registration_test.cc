// A broker and name services in one process, over loopback.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/registration/registrar.h"
#include "services/broker/registration/topic_journal.h"
#include "services/broker/topics/topic_table.h"
#include "services/nameservice/name_service.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

using ::testing::HasSubstr;

// A name service at a port of its own.
class Names {
 public:
  explicit Names(int port = 0) {
    config_.set_start_grace_ms(0);
    service_ = *nameservice::NameService::Start(config_, {.data_dir = directory_.path()},
                                                RealFiles(), clock_);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : service_->services()) builder.RegisterService(service);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
    channel_ = server_->InProcessChannel({});
  }
  ~Names() {
    service_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    service_->Stop();
  }

  int Port() const { return port_; }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::unique_ptr<ns::RegistryService::Stub> Registry() const {
    return ns::RegistryService::NewStub(channel_);
  }
  // Returns once the route of `topic` is as `condition` wants it.
  template <typename Condition>
  bool Await(const std::string& topic, Condition condition) const {
    const auto stub = ns::RouteService::NewStub(channel_);
    grpc::ClientContext context;
    context.AddMetadata("x-mq-client-id", "client");
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const auto stream = stub->WatchRoutes(&context);
    ns::WatchRoutesRequest request;
    request.add_watch()->mutable_topic()->set_name(topic);
    stream->Write(request);
    ns::WatchRoutesResponse response;
    bool met = false;
    while (!met && stream->Read(&response)) {
      for (const ns::Route& route : response.routes()) met = met || condition(route);
    }
    context.TryCancel();
    (void)stream->Finish();
    return met;
  }

 private:
  const TempDir directory_;
  const SystemClock clock_;
  config::v1::RegistryConfig config_;
  std::unique_ptr<nameservice::NameService> service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

bool Exists(const ns::Route& route) { return route.status().code() == v2::OK; }
bool IsGone(const ns::Route& route) { return route.status().code() == v2::TOPIC_NOT_FOUND; }

class RegistrationTest : public ::testing::Test {
 protected:
  RegistrationTest() {
    rig_.Open();
    auto loaded =
        TopicTable::Load(rig_.log(), rig_.dispatcher(), rig_.state(), clock_, TopicTable::Limits());
    EXPECT_THAT(loaded, IsOk());
    topics_ = *std::move(loaded);
  }

  void Register(const std::vector<std::string>& name_services) {
    Registrar::Options options;
    options.name_services = name_services;
    options.hello.mutable_identity()->set_broker_group("a");
    options.hello.mutable_identity()->set_member("a-0");
    options.hello.mutable_identity()->set_incarnation(1);
    options.hello.set_cluster("c");
    options.hello.set_role(ns::MASTER);
    options.hello.set_epoch(1);
    options.hello.mutable_endpoints()->add_addresses()->set_host("localhost");
    options.hello.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
    auto started = Registrar::Start(options, *topics_, clock_);
    ASSERT_THAT(started, IsOk());
    registrar_ = *std::move(started);
  }
  static TopicTable::TopicSpec Spec(const std::string& name, uint32_t queues = 2) {
    TopicTable::TopicSpec spec;
    spec.name = name;
    spec.queues = queues;
    spec.kinds = KindBit(v2::NORMAL);
    return spec;
  }
  const RegistrationCounts& Counts(size_t i = 0) const { return *registrar_->counts()[i].counts; }
  // The name service has it before the broker knows.
  void AwaitWelcomes(uint64_t welcomes, size_t i = 0) const {
    while (Counts(i).welcomes < welcomes) std::this_thread::yield();
  }

  const SystemClock clock_;
  store::StoreRig rig_;
  std::unique_ptr<TopicTable> topics_;
  std::unique_ptr<Registrar> registrar_;
};

TEST_F(RegistrationTest, TopicsAreToldAtTheBeginningAndWhenTheyChange) {
  const Names names;
  EXPECT_OK(topics_->CreateTopic(Spec("old")));
  Register({names.Address()});
  EXPECT_TRUE(names.Await("old", Exists));
  EXPECT_OK(topics_->CreateTopic(Spec("new")));
  EXPECT_TRUE(names.Await("new", Exists));
  EXPECT_OK(topics_->UpdateTopic(Spec("new", 5)));
  EXPECT_TRUE(names.Await("new", [](const ns::Route& route) {
    return route.queues_size() == 1 && route.queues(0).queues() == 5;
  }));
  EXPECT_OK(topics_->DeleteTopic("", "old"));
  EXPECT_TRUE(names.Await("old", IsGone));
  EXPECT_EQ(Counts().tables_sent, 1u);
  EXPECT_GE(Counts().changes_sent, 3u);
}

TEST_F(RegistrationTest, EachNameServiceHasASessionOfItsOwn) {
  const Names one;
  const Names other;
  EXPECT_OK(topics_->CreateTopic(Spec("t")));
  Register({one.Address(), "127.0.0.1:1", other.Address()});
  EXPECT_TRUE(one.Await("t", Exists));
  EXPECT_TRUE(other.Await("t", Exists));
  AwaitWelcomes(1, 0);
  AwaitWelcomes(1, 2);
  EXPECT_TRUE(Counts(0).registered);
  EXPECT_FALSE(Counts(1).registered);
}

TEST_F(RegistrationTest, ASessionThatEndsBeginsAgainWithoutTopicsThatHaveNotChanged) {
  const Names names;
  EXPECT_OK(topics_->CreateTopic(Spec("t")));
  Register({names.Address()});
  ASSERT_TRUE(names.Await("t", Exists));
  ns::UnregisterRequest request;
  request.mutable_identity()->set_broker_group("a");
  request.mutable_identity()->set_member("a-0");
  grpc::ClientContext context;
  ns::UnregisterResponse response;
  EXPECT_TRUE(names.Registry()->Unregister(&context, request, &response).ok());
  EXPECT_TRUE(names.Await("t", Exists));
  AwaitWelcomes(2);
  EXPECT_EQ(Counts().tables_sent, 1u);
}

TEST_F(RegistrationTest, ANameServiceThatIsStartedAnewIsToldEverything) {
  EXPECT_OK(topics_->CreateTopic(Spec("t")));
  auto names = std::make_unique<Names>();
  const int port = names->Port();
  Register({names->Address()});
  ASSERT_TRUE(names->Await("t", Exists));
  names.reset();
  EXPECT_OK(topics_->CreateTopic(Spec("meanwhile")));
  const Names again(port);
  EXPECT_TRUE(again.Await("t", Exists));
  EXPECT_TRUE(again.Await("meanwhile", Exists));
}

TEST_F(RegistrationTest, ARoleThatChangesIsSaidInTheSession) {
  const Names names;
  EXPECT_OK(topics_->CreateTopic(Spec("t")));
  Register({names.Address()});
  ASSERT_TRUE(names.Await("t", Exists));
  registrar_->SetRole(ns::MASTER, 0, 7);
  for (uint64_t epoch = 0; epoch != 7;) {
    grpc::ClientContext context;
    ns::ListBrokerGroupsResponse groups;
    ASSERT_TRUE(names.Registry()->ListBrokerGroups(&context, {}, &groups).ok());
    epoch = groups.groups(0).members(0).epoch();
  }
  EXPECT_EQ(Counts().welcomes, 1u);
}

TEST_F(RegistrationTest, MoreTopicsThanFitIntoARequestAreSentInSeveral) {
  const Names names;
  for (int i = 0; i < 2'100; ++i) {
    ASSERT_OK(topics_->CreateTopic(Spec("t" + std::to_string(i), 1)));
  }
  Register({names.Address()});
  EXPECT_TRUE(names.Await("t0", Exists));
  EXPECT_TRUE(names.Await("t2099", Exists));
  EXPECT_EQ(Counts().tables_sent, 1u);
}

TEST_F(RegistrationTest, ANameServiceWithoutAPortIsRefused) {
  EXPECT_THAT(Registrar::Start({.name_services = {"names:0"}, .hello = {}}, *topics_, clock_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names:0")));
}

TEST_F(RegistrationTest, AJournalKeepsWhatEachReaderHasNotTaken) {
  int news = 0;
  TopicJournal journal(Epoch(3), 2, clock_, [&news] { ++news; });
  EXPECT_FALSE(journal.HasChanges(0));
  journal.OnTopicChanged("t");
  journal.OnTopicChanged("t");
  journal.OnTopicChanged("n/u");
  EXPECT_EQ(news, 3);
  const TopicJournal::Changes taken = journal.Take(0);
  EXPECT_THAT(taken.topics, ::testing::UnorderedElementsAre("t", "n/u"));
  EXPECT_EQ(taken.version.counter(), 3u);
  EXPECT_EQ(taken.version.state_version(), 3u);
  EXPECT_FALSE(journal.HasChanges(0));
  EXPECT_TRUE(journal.HasChanges(1));
}

}  // namespace
}  // namespace dunlin::broker
