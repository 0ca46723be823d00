// The test plays the replicator: it writes orders on the control page, and looks at what becomes of
// them from outside.

#include "services/broker/member/role_switch.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/admin/broker_metrics.h"
#include "services/runtime/testing/echo.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using store::BrokerState;
using store::ControlPage;
using ::testing::HasSubstr;

class RoleSwitchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.set_data_dir(dir_.path());
    config_.mutable_server()->set_listen_address("127.0.0.1:0");
    config_.mutable_server()->mutable_tls()->set_mode(config::v1::TlsConfig::OFF);
    config_.mutable_store()->set_segment_size_bytes(1 << 20);
    config_.mutable_broker()->set_auto_create_topics(true);
    config_.mutable_replication()->set_member("a");
    ASSERT_OK(RealFiles().CreateDirectories(dir_.path() + "/store"));
    auto page = ControlPage::Open(RealFiles(), dir_.path() + "/store/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
    page_->BeginOrders();
    auto role = RoleSwitch::Start(config_, RealFiles(), clock_, [this] { failed_ = true; });
    ASSERT_OK(role);
    role_ = *std::move(role);
  }

  void Want(store::Role role, Epoch epoch) { serial_ = page_->Want(role, epoch); }
  void WantMaster(Epoch epoch) {
    page_->SetReplicated(ControlPage::kEverything);
    page_->SetLeaseUntil(ControlPage::kNoLease);
    page_->SetSends(store::Sends::kAccepted);
    Want(store::Role::kMaster, epoch);
  }
  void Await(BrokerState state) {
    const auto patience = steady_clock::now() + std::chrono::minutes(2);
    while (page_->reported() != store::Reported{state, serial_}) {
      ASSERT_LT(steady_clock::now(), patience) << static_cast<int>(page_->reported().state);
      const uint32_t looked = page_->for_replicator().Look();
      page_->for_replicator().Wait(looked, milliseconds(5));
    }
  }

  std::shared_ptr<grpc::Channel> Channel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(role_->port()),
                                     grpc::InsecureChannelCredentials(), arguments);
  }
  v2::Status Send() const {
    grpc::ClientContext context;
    context.AddMetadata("x-mq-client-id", "test");
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    v2::SendMessageRequest request;
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name("topic");
    message.set_body("body");
    message.mutable_system_properties()->set_message_id("id");
    message.mutable_system_properties()->set_message_type(v2::NORMAL);
    v2::SendMessageResponse response;
    const grpc::Status status =
        v2::MessagingService::NewStub(Channel())->SendMessage(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  // What a probe of Kubernetes asks.
  bool Ready() const {
    // status: SERVING
    return Call(Channel(), "/grpc.health.v1.Health/Check", "").body == "\x08\x01";
  }

  const TempDir dir_;
  const SystemClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<ControlPage> page_;
  std::unique_ptr<RoleSwitch> role_;
  uint32_t serial_ = 0;
  bool failed_ = false;
};

TEST_F(RoleSwitchTest, WithoutARoleEveryCallIsSentElsewhere) {
  EXPECT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
  grpc::ClientContext context;
  v1::PublishResponse none;
  const auto stream = v1::StreamService::NewStub(Channel())->Publish(&context);
  EXPECT_FALSE(stream->Read(&none));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RoleSwitchTest, AMasterServesAndASlaveDoesNot) {
  WantMaster(Epoch(3));
  Await(BrokerState::kMaster);
  const uint16_t port = role_->port();
  EXPECT_EQ(Send().code(), v2::OK);
  EXPECT_EQ(page_->log_epoch(), Epoch(3));

  page_->SetSends(store::Sends::kNobodySaid);
  Want(store::Role::kSlave, Epoch(4));
  Await(BrokerState::kSlave);
  EXPECT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
  EXPECT_EQ(role_->port(), port);

  WantMaster(Epoch(5));
  Await(BrokerState::kMaster);
  EXPECT_EQ(Send().code(), v2::OK);
  EXPECT_FALSE(failed_);
}

// Of the first metric of the name, of a histogram its count; -1 when there is none.
double ValueOf(const BrokerMetrics& metrics, const std::string& name) {
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    if (family.name != name) continue;
    const prometheus::ClientMetric& metric = family.metric.at(0);
    if (family.type == prometheus::MetricType::Histogram) {
      return static_cast<double>(metric.histogram.sample_count);
    }
    return family.type == prometheus::MetricType::Counter ? metric.counter.value
                                                          : metric.gauge.value;
  }
  return -1;
}

TEST_F(RoleSwitchTest, MetricsAreThoseOfTheRole) {
  const std::shared_ptr<BrokerMetrics> metrics = role_->broker_metrics();
  EXPECT_TRUE(metrics->Collect().empty());

  WantMaster(Epoch(3));
  Await(BrokerState::kMaster);
  ASSERT_EQ(Send().code(), v2::OK);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_master"), 1);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_epoch"), 3);
  EXPECT_EQ(ValueOf(*metrics, "rocketmq_topic_number"), 1);
  // Queues end where the dispatcher has come to.
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  while (ValueOf(*metrics, "rocketmq_messages_in_total") != 1) {
    ASSERT_LT(steady_clock::now(), patience);
    std::this_thread::yield();
  }
  EXPECT_GT(ValueOf(*metrics, "dunlin_broker_log_appended_bytes_total"), 0);
  EXPECT_GT(ValueOf(*metrics, "dunlin_broker_disk_free_bytes"), 0);
  EXPECT_GT(ValueOf(*metrics, "dunlin_broker_log_write_seconds"), 0);
  EXPECT_GT(ValueOf(*metrics, "dunlin_broker_rocksdb_memtable_bytes"), 0);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_rocksdb_writes_stopped"), 0);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_refusals_total"), -1);
  page_->SetSends(store::Sends::kTooFewInSync);
  ASSERT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_refusals_total"), 1);

  Want(store::Role::kSlave, Epoch(4));
  Await(BrokerState::kSlave);
  EXPECT_EQ(ValueOf(*metrics, "dunlin_broker_master"), 0);
  EXPECT_EQ(ValueOf(*metrics, "rocketmq_messages_in_total"), -1) << "the master's are counted";

  Want(store::Role::kNone, Epoch(5));
  Await(BrokerState::kStopped);
  EXPECT_TRUE(metrics->Collect().empty());
  role_.reset();
  EXPECT_TRUE(metrics->Collect().empty());
}

TEST_F(RoleSwitchTest, AMasterRefusesWhatItMayNotTake) {
  WantMaster(Epoch(1));
  Await(BrokerState::kMaster);
  ASSERT_EQ(Send().code(), v2::OK);
  page_->SetSends(store::Sends::kTooFewInSync);
  v2::Status refused = Send();
  EXPECT_EQ(refused.code(), v2::HA_NOT_AVAILABLE);
  EXPECT_THAT(refused.message(), HasSubstr("too few members"));
  page_->SetSends(store::Sends::kSwitchover);
  EXPECT_THAT(Send().message(), HasSubstr("takes over"));
  page_->SetSends(store::Sends::kNobodySaid);
  EXPECT_THAT(Send().message(), HasSubstr("not sure to be the master"));
  page_->SetSends(store::Sends::kAccepted);
  EXPECT_EQ(Send().code(), v2::OK);
}

TEST_F(RoleSwitchTest, AMasterWithoutALeaseCloses) {
  WantMaster(Epoch(1));
  Await(BrokerState::kMaster);
  page_->SetLeaseUntil(BootTime());
  // How soon it closes then is its business: until it has, it refuses.
  Await(BrokerState::kFailed);
  EXPECT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
  page_->SetLeaseUntil(ControlPage::kNoLease);
  Await(BrokerState::kMaster);
  EXPECT_EQ(Send().code(), v2::OK);
}

TEST_F(RoleSwitchTest, WhoDoesWhatItsRoleIsForIsReady) {
  EXPECT_FALSE(Ready());
  WantMaster(Epoch(1));
  Await(BrokerState::kMaster);
  EXPECT_TRUE(Ready());
  Want(store::Role::kSlave, Epoch(2));
  Await(BrokerState::kSlave);
  EXPECT_TRUE(Ready());
  Want(store::Role::kNone, Epoch(2));
  Await(BrokerState::kStopped);
  EXPECT_FALSE(Ready());
}

TEST_F(RoleSwitchTest, ARoleThatCannotBeTakenIsTriedAgain) {
  store::CommitLogOptions options;
  options.directory = dir_.path() + "/store";
  options.segment_size_bytes = 1 << 20;
  options.epoch = Epoch(1);
  options.replicated = true;
  auto holder = store::CommitLog::Open(options, RealFiles(), clock_);
  ASSERT_OK(holder);
  WantMaster(Epoch(1));
  Await(BrokerState::kFailed);
  EXPECT_FALSE(Ready());
  EXPECT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
  holder->reset();
  Await(BrokerState::kMaster);
  EXPECT_EQ(Send().code(), v2::OK);
}

TEST_F(RoleSwitchTest, AReplicatorThatStartsAnewTakesTheRoleAway) {
  WantMaster(Epoch(1));
  Await(BrokerState::kMaster);
  page_->BeginOrders();
  serial_ = page_->wanted().serial;
  Await(BrokerState::kStopped);
  EXPECT_EQ(Send().code(), v2::HA_NOT_AVAILABLE);
}

}  // namespace
}  // namespace dunlin::broker
