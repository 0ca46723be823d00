// A master, a slave and a name service in one process. The test plays both replicators: it writes
// orders on the control pages, copies the log, and says what is confirmed.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/member/role_switch.h"
#include "services/broker/registration/testing/names.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/store/log/control_page.h"
#include "services/store/log/log_mirror.h"
#include "services/store/log/raw_reader.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using store::BrokerState;
using store::ControlPage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Epoch kEpoch(1);

// One member, and what its replicator would have in hand.
struct Member {
  Member(const std::string& name, const std::string& name_service) {
    config.set_data_dir(directory.path());
    config.mutable_server()->set_listen_address("127.0.0.1:0");
    config.mutable_server()->mutable_tls()->set_mode(config::v1::TlsConfig::OFF);
    config.mutable_store()->set_segment_size_bytes(1 << 20);
    config.mutable_broker()->set_broker_name("group");
    config.mutable_broker()->set_auto_create_groups(true);
    config.mutable_broker()->add_retry_backoff_seconds(1);
    config.mutable_broker()->add_name_services(name_service);
    config.mutable_broker()->set_max_long_polling_ms(10'000);
    config.mutable_broker()->set_cold_read_memory_bytes(2500);  // cold: 1000 bytes behind
    config.mutable_replication()->set_member(name);
    config.mutable_replication()->set_members("a=localhost:1, b=localhost:2");
    EXPECT_OK(RealFiles().CreateDirectories(Store()));
    page = *ControlPage::Open(RealFiles(), Store() + "/control");
    page->BeginOrders();
    role = *RoleSwitch::Start(config, RealFiles(), clock, [] {});
  }

  std::string Store() const { return directory.path() + "/store"; }
  void Become(store::Role wanted, Epoch epoch, BrokerState state) const {
    if (wanted == store::Role::kMaster) {
      page->SetReplicated(ControlPage::kEverything);
      page->SetLeaseUntil(ControlPage::kNoLease);
      page->SetSends(store::Sends::kAccepted);
    }
    const uint32_t serial = page->Want(wanted, epoch);
    const auto patience = steady_clock::now() + seconds(30);
    while (page->reported() != store::Reported{state, serial}) {
      ASSERT_LT(steady_clock::now(), patience) << static_cast<int>(page->reported().state);
      const uint32_t looked = page->for_replicator().Look();
      page->for_replicator().Wait(looked, milliseconds(5));
    }
  }
  std::shared_ptr<grpc::Channel> Channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(role->port()),
                                     grpc::InsecureChannelCredentials(), arguments);
  }
  std::unique_ptr<v2::MessagingService::Stub> Messaging() const {
    return v2::MessagingService::NewStub(Channel());
  }
  std::unique_ptr<v1::StreamService::Stub> Streams() const {
    return v1::StreamService::NewStub(Channel());
  }
  std::unique_ptr<admin::v1::AdminService::Stub> Admin() const {
    return admin::v1::AdminService::NewStub(Channel());
  }

  const TempDir directory;
  const SystemClock clock;
  config::v1::DunlinConfig config;
  std::unique_ptr<ControlPage> page;
  std::unique_ptr<RoleSwitch> role;
};

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-mq-client-id", "test");
  context->set_deadline(std::chrono::system_clock::now() + seconds(30));
  return context;
}

class SlaveReadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    master_.Become(store::Role::kMaster, kEpoch, BrokerState::kMaster);
    MakeTopic("topic");
    auto mirror = store::LogMirror::Open({slave_.Store()}, RealFiles());
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
    auto reader = store::RawReader::Open(RealFiles(), master_.Store());
    ASSERT_OK(reader);
    reader_ = *std::move(reader);
    Ship();
    Confirm();
    slave_.Become(store::Role::kSlave, kEpoch, BrokerState::kSlave);
  }
  void TearDown() override {
    slave_.role.reset();
    if (mirror_ != nullptr) EXPECT_OK(mirror_->Close());
  }

  // The slave gets what the master has; it is to be seen once it is confirmed.
  void Ship() { ASSERT_OK(store::CopyRest(*reader_, *mirror_, random_)); }
  void Confirm() const { slave_.page->SetReplicated(mirror_->end()); }

  admin::v1::Topic TopicOf(const std::string& name, uint32_t queues) const {
    admin::v1::Topic topic;
    topic.set_name(name);
    topic.set_queues(queues);
    return topic;
  }
  void MakeTopic(const std::string& name) const {
    admin::v1::CreateTopicRequest request;
    *request.mutable_topic() = TopicOf(name, 1);
    admin::v1::Topic made;
    const grpc::Status status = master_.Admin()->CreateTopic(Context().get(), request, &made);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  static v2::Status Send(const Member& member, const std::string& body) {
    v2::SendMessageRequest request;
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name("topic");
    message.set_body(body);
    message.mutable_system_properties()->set_message_id("id-" + body);
    message.mutable_system_properties()->add_keys("key-" + body);
    message.mutable_system_properties()->set_message_type(v2::NORMAL);
    v2::SendMessageResponse response;
    EXPECT_TRUE(member.Messaging()->SendMessage(Context().get(), request, &response).ok());
    return response.status();
  }
  // Which nobody passes on.
  static v2::Status Heartbeat(const Member& member) {
    v2::HeartbeatResponse response;
    EXPECT_TRUE(member.Messaging()->Heartbeat(Context().get(), {}, &response).ok());
    return response.status();
  }
  static int64_t EndOffset(const Member& member) {
    v2::QueryOffsetRequest request;
    request.mutable_message_queue()->mutable_topic()->set_name("topic");
    request.set_query_offset_policy(v2::END);
    v2::QueryOffsetResponse response;
    EXPECT_TRUE(member.Messaging()->QueryOffset(Context().get(), request, &response).ok());
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    return response.offset();
  }
  // Bodies from `offset` on; waits for one.
  static std::vector<std::string> Pull(const Member& member, int64_t offset) {
    v2::PullMessageRequest request;
    request.mutable_group()->set_name("puller");
    request.mutable_message_queue()->mutable_topic()->set_name("topic");
    request.set_offset(offset);
    request.set_batch_size(32);
    request.mutable_filter_expression()->set_expression("*");
    request.mutable_long_polling_timeout()->set_seconds(10);
    const auto context = Context();
    const auto stream = member.Messaging()->PullMessage(context.get(), request);
    std::vector<std::string> bodies;
    v2::PullMessageResponse response;
    while (stream->Read(&response)) {
      if (response.has_message()) bodies.push_back(response.message().body());
    }
    EXPECT_TRUE(stream->Finish().ok());
    return bodies;
  }
  // Returns when both can be read there: a send is acknowledged before that.
  void AwaitAtMaster(const std::string& first, const std::string& second) const {
    EXPECT_FALSE(Pull(master_, 0).empty());
    EXPECT_THAT(Pull(master_, 1), ElementsAre(second));
    EXPECT_THAT(Pull(master_, 0), ElementsAre(first, second));
  }
  // Where the group "reader" is.
  static v2::Status Update(const Member& member, int64_t offset) {
    v2::UpdateOffsetRequest request;
    request.mutable_group()->set_name("reader");
    request.mutable_message_queue()->mutable_topic()->set_name("topic");
    request.set_offset(offset);
    v2::UpdateOffsetResponse response;
    EXPECT_TRUE(member.Messaging()->UpdateOffset(Context().get(), request, &response).ok());
    return response.status();
  }
  // Ships until the slave says that it is there: progress is saved every 100 ms.
  bool AwaitOffset(int64_t offset) {
    v2::GetOffsetRequest request;
    request.mutable_group()->set_name("reader");
    request.mutable_message_queue()->mutable_topic()->set_name("topic");
    v2::GetOffsetResponse response;
    const auto stub = slave_.Messaging();
    const auto patience = steady_clock::now() + seconds(20);
    while (steady_clock::now() < patience) {
      Ship();
      Confirm();
      EXPECT_TRUE(stub->GetOffset(Context().get(), request, &response).ok());
      if (response.status().code() == v2::OK && response.offset() == offset) return true;
    }
    return false;
  }
  // Returns what the slave's admin service says of a topic once it is `code`.
  bool AwaitTopic(const std::string& name, grpc::StatusCode code) const {
    const auto stub = slave_.Admin();
    const auto patience = steady_clock::now() + seconds(20);
    while (steady_clock::now() < patience) {
      admin::v1::GetTopicRequest request;
      request.set_name(name);
      admin::v1::GetTopicResponse response;
      if (stub->GetTopic(Context().get(), request, &response).error_code() == code) return true;
    }
    return false;
  }

  // Of the only queue of "topic", asked at the slave.
  v2::MessageQueue RouteAtSlave() const {
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name("topic");
    v2::QueryRouteResponse response;
    EXPECT_TRUE(slave_.Messaging()->QueryRoute(Context().get(), request, &response).ok());
    EXPECT_EQ(response.message_queues_size(), 1) << response.ShortDebugString();
    return response.message_queues_size() == 1 ? response.message_queues(0) : v2::MessageQueue();
  }
  v2::MessageQueue AssignedAtSlave() const {
    v2::QueryAssignmentRequest request;
    request.mutable_topic()->set_name("topic");
    request.mutable_group()->set_name("reader");
    v2::QueryAssignmentResponse response;
    EXPECT_TRUE(slave_.Messaging()->QueryAssignment(Context().get(), request, &response).ok());
    EXPECT_EQ(response.assignments_size(), 1) << response.ShortDebugString();
    return response.assignments_size() == 1 ? response.assignments(0).message_queue()
                                            : v2::MessageQueue();
  }
  // Returns once name services know that it is to be reached there, and with this permission.
  bool AwaitRoute(const Member& member, v2::Permission permission) const {
    const auto patience = steady_clock::now() + seconds(20);
    while (steady_clock::now() < patience) {
      const v2::MessageQueue queue = RouteAtSlave();
      if (queue.permission() == permission &&
          queue.broker().endpoints().addresses(0).port() == member.role->port()) {
        return true;
      }
    }
    return false;
  }

  const Names names_;
  std::mt19937 random_{7};
  Member master_{"a", names_.Address()};
  Member slave_{"b", names_.Address()};
  std::unique_ptr<store::LogMirror> mirror_;
  std::unique_ptr<store::RawReader> reader_;
};

TEST_F(SlaveReadsTest, ASlaveServesWhatIsConfirmedAndNothingBeyond) {
  ASSERT_EQ(Send(master_, "one").code(), v2::OK);
  Ship();
  Confirm();
  EXPECT_THAT(Pull(slave_, 0), ElementsAre("one"));
  ASSERT_EQ(Send(master_, "two").code(), v2::OK);
  Ship();
  Subscriber reader(*slave_.Streams(), "", Context());
  const v1::Attached attached = reader.AttachAt("topic", 0, 0);
  EXPECT_EQ(attached.status().code(), v2::OK) << attached.status().message();
  EXPECT_TRUE(attached.read_only());
  EXPECT_THAT(reader.Bodies(1), ElementsAre("one"));
  AwaitAtMaster("one", "two");
  EXPECT_EQ(EndOffset(slave_), 1) << "the second one may yet be taken back";
  Confirm();
  EXPECT_THAT(reader.Bodies(1), ElementsAre("two"));
  EXPECT_EQ(EndOffset(slave_), 2);
  EXPECT_THAT(Pull(slave_, 0), Pull(master_, 0));
}

TEST_F(SlaveReadsTest, WhoIsFarBehindIsToldSo) {
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Send(master_, std::to_string(i)).code(), v2::OK);
  Ship();
  Confirm();
  for (const Member* member : {&master_, &slave_}) {
    ASSERT_FALSE(Pull(*member, 19).empty());
    Subscriber behind(*member->Streams(), "", Context());
    ASSERT_EQ(behind.AttachAt("topic", 0, 0).status().code(), v2::OK);
    EXPECT_FALSE(behind.Bodies(1).empty());
    EXPECT_TRUE(behind.Last().frame().cold());
    Subscriber near(*member->Streams(), "", Context());
    ASSERT_EQ(near.AttachAt("topic", 0, 19).status().code(), v2::OK);
    EXPECT_THAT(near.Bodies(1), ElementsAre("19"));
    EXPECT_FALSE(near.Last().frame().cold());
    admin::v1::Broker broker;
    ASSERT_TRUE(member->Admin()->GetBroker(Context().get(), {}, &broker).ok());
    EXPECT_EQ(broker.cold_readers(), 1);
    EXPECT_EQ(broker.streamed_messages(), 21);
  }
}

TEST_F(SlaveReadsTest, ABindingForCommitsIsSentNothing) {
  ASSERT_EQ(Send(master_, "one").code(), v2::OK);
  ASSERT_EQ(Send(master_, "two").code(), v2::OK);
  AwaitAtMaster("one", "two");
  v1::SubscribeRequest request;
  request.mutable_attach()->set_binding(2);
  request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::COMMIT_ONLY);
  Subscriber reader(*master_.Streams(), "reader", Context());
  EXPECT_EQ(reader.Attach(request, "topic").status().code(), v2::OK);
  v1::SubscribeRequest commit;
  commit.mutable_commit()->set_binding(2);
  commit.mutable_commit()->set_queue_offset(1);
  reader.Write(commit);
  // What comes is of the other binding alone, also when there is something new.
  ASSERT_EQ(reader.AttachAt("topic", 0, 0).status().code(), v2::OK);
  ASSERT_EQ(Send(master_, "three").code(), v2::OK);
  EXPECT_THAT(reader.Bodies(3), ElementsAre("one", "two", "three"));
  EXPECT_TRUE(AwaitOffset(1));
  Subscriber at_slave(*slave_.Streams(), "reader", Context());
  EXPECT_EQ(at_slave.Attach(request, "topic").status().code(), v2::BAD_REQUEST);
}

TEST_F(SlaveReadsTest, MessagesAreFoundByIdKeyAndOffset) {
  ASSERT_EQ(Send(master_, "one").code(), v2::OK);
  Ship();
  Confirm();
  ASSERT_THAT(Pull(slave_, 0), ElementsAre("one"));
  admin::v1::GetMessagesRequest request;
  request.set_topic("topic");
  for (int i = 0; i < 3; ++i) {
    if (i == 0) request.set_key("key-one");
    if (i == 1) request.set_message_id("id-one");
    if (i == 2) request.mutable_position()->set_offset(0);
    admin::v1::GetMessagesResponse response;
    const grpc::Status status = slave_.Admin()->GetMessages(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.messages_size(), 1);
  }
}

TEST_F(SlaveReadsTest, TopicsFollowTheLog) {
  EXPECT_TRUE(AwaitTopic("later", grpc::NOT_FOUND));
  MakeTopic("later");
  Ship();
  Confirm();
  EXPECT_TRUE(AwaitTopic("later", grpc::OK));
  admin::v1::DeleteTopicRequest request;
  request.set_name("later");
  admin::v1::DeleteTopicResponse deleted;
  ASSERT_TRUE(master_.Admin()->DeleteTopic(Context().get(), request, &deleted).ok());
  Ship();
  Confirm();
  EXPECT_TRUE(AwaitTopic("later", grpc::NOT_FOUND));
}

TEST_F(SlaveReadsTest, OffsetsOfGroupsFollowTheLog) {
  ASSERT_EQ(Send(master_, "one").code(), v2::OK);
  ASSERT_EQ(Send(master_, "two").code(), v2::OK);
  AwaitAtMaster("one", "two");
  for (const int64_t offset : {1, 2}) {
    const v2::Status updated = Update(master_, offset);
    ASSERT_EQ(updated.code(), v2::OK) << updated.message();
    EXPECT_TRUE(AwaitOffset(offset));
  }
}

TEST_F(SlaveReadsTest, WhatNeedsTheMasterIsRefusedWithTheWayOut) {
  const v2::Status beat = Heartbeat(slave_);
  EXPECT_EQ(beat.code(), v2::HA_NOT_AVAILABLE);
  EXPECT_THAT(beat.message(), HasSubstr("ask for the route again"));

  admin::v1::CreateTopicRequest create;
  *create.mutable_topic() = TopicOf("made", 1);
  admin::v1::Topic made;
  const grpc::Status refused = slave_.Admin()->CreateTopic(Context().get(), create, &made);
  EXPECT_EQ(refused.error_code(), grpc::UNAVAILABLE);
  EXPECT_THAT(refused.error_message(), HasSubstr("go to the master"));

  const auto context = Context();
  const auto publish = slave_.Streams()->Publish(context.get());
  v1::PublishResponse none;
  EXPECT_FALSE(publish->Read(&none));
  EXPECT_EQ(publish->Finish().error_code(), grpc::UNAVAILABLE);

  // The group is made at first use, by the master.
  ASSERT_EQ(Update(master_, 0).code(), v2::OK);
  ASSERT_TRUE(AwaitOffset(0));
  Subscriber competing(*slave_.Streams(), "reader", Context());
  EXPECT_EQ(competing.AttachGroup("topic").status().code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(SlaveReadsTest, WhatASlaveDoesNotServeIsPassedOnToTheMaster) {
  ASSERT_TRUE(AwaitRoute(master_, v2::READ_WRITE));
  const v2::Status sent = Send(slave_, "one");
  EXPECT_EQ(sent.code(), v2::OK) << sent.message();
  EXPECT_THAT(Pull(master_, 0), ElementsAre("one"));
  EXPECT_EQ(EndOffset(slave_), 0) << "what the master has is to be shipped first";
  const v2::Status updated = Update(slave_, 1);
  EXPECT_EQ(updated.code(), v2::OK) << updated.message();
  EXPECT_TRUE(AwaitOffset(1));
}

TEST_F(SlaveReadsTest, WithoutAMasterNothingIsPassedOn) {
  ASSERT_TRUE(AwaitRoute(master_, v2::READ_WRITE));
  master_.role->Stop().IgnoreError();
  ASSERT_TRUE(AwaitRoute(slave_, v2::READ));
  EXPECT_EQ(Send(slave_, "one").code(), v2::HA_NOT_AVAILABLE);
}

TEST_F(SlaveReadsTest, ARefusalSaysWhereTheMasterIs) {
  const std::string master =
      "go to the master at 127.0.0.1:" + std::to_string(master_.role->port());
  const auto patience = steady_clock::now() + seconds(20);
  std::string told;
  do {
    told = Heartbeat(slave_).message();
  } while (!told.ends_with(master) && steady_clock::now() < patience);
  EXPECT_THAT(told, ::testing::EndsWith(master));
}

TEST_F(SlaveReadsTest, ASlaveTellsTheRouteAsNameServicesDo) {
  EXPECT_TRUE(AwaitRoute(master_, v2::READ_WRITE));
  EXPECT_EQ(AssignedAtSlave().broker().endpoints().addresses(0).port(), master_.role->port());
  master_.role->Stop().IgnoreError();
  EXPECT_TRUE(AwaitRoute(slave_, v2::READ));
  EXPECT_EQ(AssignedAtSlave().broker().endpoints().addresses(0).port(), slave_.role->port());
}

TEST_F(SlaveReadsTest, ASlaveThatIsElectedStaysInRoutes) {
  ASSERT_TRUE(AwaitRoute(master_, v2::READ_WRITE));
  ASSERT_TRUE(names_.Await("topic", Exists));
  master_.role->Stop().IgnoreError();
  ASSERT_TRUE(AwaitRoute(slave_, v2::READ));
  const auto stub = names_.Routes();
  const auto context = Context();
  const auto watch = stub->WatchRoutes(context.get());
  nameservice::v1::WatchRoutesRequest request;
  request.add_watch()->mutable_topic()->set_name("topic");
  watch->Write(request);
  std::thread promotion([this] {
    EXPECT_OK(mirror_->Close());
    slave_.Become(store::Role::kMaster, kEpoch + 1, BrokerState::kMaster);
  });
  bool written = false;
  nameservice::v1::WatchRoutesResponse response;
  while (!written && watch->Read(&response)) {
    for (const nameservice::v1::Route& route : response.routes()) EXPECT_TRUE(Exists(route));
    for (const nameservice::v1::BrokerGroup& group : response.brokers()) {
      EXPECT_EQ(group.members_size(), 1) << group.ShortDebugString();
      written = !group.read_only();
    }
  }
  promotion.join();
  EXPECT_TRUE(written);
  context->TryCancel();
  (void)watch->Finish();
  mirror_.reset();
  EXPECT_TRUE(AwaitRoute(slave_, v2::READ_WRITE));
}

TEST_F(SlaveReadsTest, APromotedSlaveServesEverything) {
  ASSERT_EQ(Send(master_, "one").code(), v2::OK);
  Ship();
  Confirm();
  Subscriber reader(*slave_.Streams(), "", Context());
  ASSERT_EQ(reader.AttachAt("topic", 0, 0).status().code(), v2::OK);
  EXPECT_THAT(reader.Bodies(1), ElementsAre("one"));
  master_.role->Stop().IgnoreError();
  ASSERT_OK(mirror_->Close());
  mirror_.reset();
  slave_.Become(store::Role::kMaster, kEpoch + 1, BrokerState::kMaster);
  EXPECT_EQ(Send(slave_, "two").code(), v2::OK);
  EXPECT_THAT(Pull(slave_, 1), ElementsAre("two"));
  EXPECT_THAT(Pull(slave_, 0), ElementsAre("one", "two"));
}

}  // namespace
}  // namespace dunlin::broker
