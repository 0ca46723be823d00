// A broker and name services in one process, over loopback.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/registration/registrar.h"
#include "services/broker/registration/registration_session.h"
#include "services/broker/registration/testing/names.h"
#include "services/broker/registration/topic_journal.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

using ::testing::HasSubstr;

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
    auto started = Registrar::Start(options, topics_, clock_);
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
  std::shared_ptr<TopicTable> topics_;
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
  registrar_->SetRole({.role = ns::MASTER, .id = 0, .epoch = 7});
  for (uint64_t epoch = 0; epoch != 7;) {
    grpc::ClientContext context;
    ns::ListBrokerGroupsResponse groups;
    ASSERT_TRUE(names.Registry()->ListBrokerGroups(&context, {}, &groups).ok());
    epoch = groups.groups(0).members(0).epoch();
  }
  EXPECT_EQ(Counts().welcomes, 1u);
}

TEST_F(RegistrationTest, AMemberThatTakesAnotherRoleTellsItsTopicsAnewWithoutAGap) {
  const Names names;
  EXPECT_OK(topics_->CreateTopic(Spec("t")));
  Register({names.Address()});
  ASSERT_TRUE(names.Await("t", Exists));
  registrar_->SetRole({.role = ns::SLAVE, .id = 2, .epoch = 1});
  // Its rooms are opened anew; the session keeps what it tells of.
  rig_.Settle();
  auto loaded =
      TopicTable::Load(rig_.log(), rig_.dispatcher(), rig_.state(), clock_, TopicTable::Limits());
  ASSERT_OK(loaded);
  topics_ = *std::move(loaded);
  EXPECT_OK(topics_->CreateTopic(Spec("u")));
  registrar_->SetRole({.role = ns::MASTER, .id = 0, .epoch = 2}, topics_);
  EXPECT_TRUE(names.Await("u", Exists));
  EXPECT_TRUE(names.Await("t", Exists));
  EXPECT_OK(topics_->CreateTopic(Spec("v")));
  EXPECT_TRUE(names.Await("v", Exists));
  EXPECT_EQ(Counts().welcomes, 1u);
  EXPECT_EQ(Counts().tables_sent, 2u);
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

// Welcomes, and reads nothing after the hello.
class DeafNames final : public ns::RegistryService::CallbackService {
 public:
  DeafNames() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    // The window stays as it is: what fits into it is taken as read.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    server_ = builder.BuildAndStart();
  }
  ~DeafNames() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::ServerBidiReactor<ns::RegisterRequest, ns::RegisterResponse>* Register(
      grpc::CallbackServerContext* /*context*/) override {
    class Call final : public grpc::ServerBidiReactor<ns::RegisterRequest, ns::RegisterResponse> {
     public:
      Call() { StartRead(&hello_); }
      void OnReadDone(bool ok) override {
        if (!ok) return;
        welcome_.mutable_welcome()->set_session_timeout_ms(10'000);
        StartWrite(&welcome_);
      }
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }

     private:
      ns::RegisterRequest hello_;
      ns::RegisterResponse welcome_;
    };
    return new Call();
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(RegistrationTest, ANameServiceThatDoesNotReadIsLeftAloneAndThenLeft) {
  const DeafNames names;
  const auto journal = std::make_shared<TopicJournal>(Epoch(3), 1, clock_, [] {});
  RegistrationSession session(names.Address(), 0, [] {});
  Registration registration{.hello = {}, .topics = topics_, .journal = journal};
  registration.hello.set_cluster("c");
  const Timestamp begin = clock_.Now();
  while (session.counts()->welcomes == 0) session.Step(begin, registration);
  // More than flow control lets through.
  for (int i = 0; i < 2'000; ++i) {
    journal->OnTopicChanged(std::string(240, 'x') + std::to_string(i));
  }
  while (session.counts()->changes_sent == 0) session.Step(begin, registration);
  const Timestamp later = begin + std::chrono::milliseconds(9'999);
  EXPECT_GT(session.Step(later, registration), later);
  EXPECT_EQ(session.counts()->failures, 0u);
  session.Step(later + std::chrono::milliseconds(1), registration);
  EXPECT_EQ(session.counts()->failures, 1u);
  EXPECT_FALSE(session.counts()->registered);
}

TEST_F(RegistrationTest, ANameServiceWithoutAPortIsRefused) {
  EXPECT_THAT(Registrar::Start({.name_services = {"names:0"}, .hello = {}}, topics_, clock_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names:0")));
}

TEST_F(RegistrationTest, AJournalKeepsWhatEachReaderHasNotTaken) {
  int news = 0;
  TopicJournal journal(Epoch(3), 2, clock_, [&news] { ++news; });
  EXPECT_EQ(journal.Begin(0).counter(), 0u);
  journal.Begin(1);
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

// Else topics that come and go while a name service is away would take memory for good.
TEST_F(RegistrationTest, AJournalKeepsNothingForAReaderThatIsAway) {
  TopicJournal journal(Epoch(3), 1, clock_, [] {});
  journal.OnTopicChanged("before");
  EXPECT_FALSE(journal.HasChanges(0));
  EXPECT_EQ(journal.Begin(0).counter(), 1u);
  EXPECT_FALSE(journal.HasChanges(0));
  journal.OnTopicChanged("t");
  EXPECT_TRUE(journal.HasChanges(0));
  journal.End(0);
  journal.OnTopicChanged("after");
  EXPECT_FALSE(journal.HasChanges(0));
  EXPECT_TRUE(journal.Take(0).topics.empty());
  EXPECT_EQ(journal.Begin(0).counter(), 3u);
}

// The session is what begins and ends it.
TEST_F(RegistrationTest, NothingIsKeptForANameServiceThatIsNotReached) {
  const auto journal = std::make_shared<TopicJournal>(Epoch(3), 1, clock_, [] {});
  RegistrationSession session("127.0.0.1:1", 0, [] {});
  const Timestamp begin = clock_.Now();
  Registration registration{.hello = {}, .topics = topics_, .journal = journal};
  registration.hello.set_cluster("c");
  for (Timestamp now = begin; session.counts()->failures < 3;) {
    now = std::max(now, session.Step(now, registration));
    std::this_thread::yield();
  }
  journal->OnTopicChanged("t");
  EXPECT_FALSE(journal->HasChanges(0));
}

}  // namespace
}  // namespace dunlin::broker
