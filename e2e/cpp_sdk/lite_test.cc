// Lightweight topics of the C++ SDK against the real broker.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/lite_producer.h"
#include "dunlin/lite_push_consumer.h"
#include "dunlin/lite_simple_consumer.h"
#include "dunlin/producer.h"

#include "e2e/harness/broker.h"
#include "e2e/harness/program.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr seconds kPatience{30};

// What a listener saw of each lightweight topic, in its order.
class Seen {
 public:
  void Add(const std::string& lite_topic, const std::string& body) {
    MutexLock lock(mutex_);
    bodies_[lite_topic].push_back(body);
    changed_.SignalAll();
  }
  // Once there are so many of it.
  std::vector<std::string> Await(const std::string& lite_topic, size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (bodies_[lite_topic].size() < count && changed_.WaitUntil(mutex_, deadline)) {
    }
    return bodies_[lite_topic];
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::vector<std::string>> bodies_ ABSL_GUARDED_BY(mutex_);
};

class LiteTest : public ::testing::Test {
 protected:
  LiteTest() {
    broker_options_.program = "services/standalone/dunlin";
    broker_options_.data_dir = std::string(std::getenv("TEST_TMPDIR")) + "/" +
                               ::testing::UnitTest::GetInstance()->current_test_info()->name();
    broker_options_.stderr_file = broker_options_.data_dir + ".log";
    Start();
    admin::v1::CreateTopicRequest topic;
    topic.mutable_topic()->set_name("sessions");
    topic.mutable_topic()->add_kinds(admin::v1::LITE);
    Ask(&admin::v1::AdminService::Stub::CreateTopic, topic);
    CreateGroup("agents", admin::v1::LITE_SHARED);
    ClientOptions options;
    options.endpoint = broker_->address();
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = std::make_unique<Client>(*std::move(client));
    auto producer = client_->MakeLiteProducer(LiteProducerOptions());
    EXPECT_TRUE(producer.ok()) << producer.status();
    producer_ = std::make_unique<LiteProducer>(*std::move(producer));
  }

  void Start() {
    auto broker = e2e::StartBroker(broker_options_);
    EXPECT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
  }

  template <typename Request, typename Response>
  Response Ask(grpc::Status (admin::v1::AdminService::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
               const Request& request) {
    const auto admin = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (admin.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  void CreateGroup(const std::string& name, admin::v1::LiteModel model) {
    admin::v1::CreateGroupRequest request;
    request.mutable_group()->set_name(name);
    request.mutable_group()->set_lite_bind_topic("sessions");
    request.mutable_group()->set_lite_model(model);
    request.mutable_group()->add_retry_delays_ms(200);
    Ask(&admin::v1::AdminService::Stub::CreateGroup, request);
  }

  LiteSimpleConsumer Simple(const std::string& group = "agents") {
    LiteSimpleConsumerOptions options;
    options.topic = "sessions";
    options.group = group;
    auto consumer = client_->MakeLiteSimpleConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  static Message To(const std::string& lite_topic, const std::string& body) {
    Message message;
    message.topic = "sessions";
    message.lite_topic = lite_topic;
    message.body = body;
    return message;
  }
  uint64_t Send(const std::string& lite_topic, const std::string& body) {
    const auto receipt = producer_->Send(To(lite_topic, body));
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    return receipt.ok() ? receipt->offset : 0;
  }
  static std::vector<ReceivedLiteMessage> Take(LiteSimpleConsumer& consumer,
                                               milliseconds timeout = kPatience) {
    auto messages = consumer.Receive(32, timeout);
    EXPECT_TRUE(messages.ok()) << messages.status();
    return messages.ok() ? *std::move(messages) : std::vector<ReceivedLiteMessage>();
  }
  static std::vector<std::string> Bodies(const std::vector<ReceivedLiteMessage>& messages) {
    std::vector<std::string> bodies;
    for (const ReceivedLiteMessage& message : messages) bodies.push_back(message.body);
    return bodies;
  }

  e2e::BrokerOptions broker_options_;
  std::unique_ptr<e2e::Program> broker_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<LiteProducer> producer_;
};

TEST_F(LiteTest, ASimpleConsumerGetsWhatItSubscribesTo) {
  LiteSimpleConsumer consumer = Simple();
  ASSERT_TRUE(consumer.Subscribe("s1").ok());
  Message message = To("s1", "first");
  message.tag = "greeting";
  message.keys = {"k1", "k2"};
  message.properties = {{"colour", "blue"}};
  const auto receipt = producer_->Send(message);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->offset, 0u);
  Send("s2", "of another");
  const std::vector<ReceivedLiteMessage> taken = Take(consumer);
  ASSERT_THAT(Bodies(taken), ElementsAre("first"));
  EXPECT_EQ(taken[0].topic, "sessions");
  EXPECT_EQ(taken[0].lite_topic, "s1");
  EXPECT_EQ(taken[0].tag, "greeting");
  EXPECT_THAT(taken[0].keys, ElementsAre("k1", "k2"));
  EXPECT_THAT(taken[0].properties,
              ElementsAre(std::pair<std::string, std::string>("colour", "blue")));
  EXPECT_EQ(taken[0].message_id, receipt->message_id);
  EXPECT_EQ(taken[0].attempt, 1u);
  EXPECT_TRUE(consumer.Ack(taken).ok());
  ReceivedLiteMessage foreign = taken[0];
  foreign.receipt_handle = "of nobody";
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Ack(foreign)));
  EXPECT_THAT(Take(consumer, milliseconds(0)), IsEmpty());
  ASSERT_TRUE(consumer.Subscribe("s2").ok());
  EXPECT_THAT(consumer.subscriptions(), ElementsAre("s1", "s2"));
  EXPECT_THAT(Bodies(Take(consumer)), ElementsAre("of another"));
  ASSERT_TRUE(consumer.Unsubscribe("s1").ok());
  Send("s1", "not wanted any more");
  EXPECT_THAT(Take(consumer, milliseconds(300)), IsEmpty());
}

TEST_F(LiteTest, ManyAreSentInOneRequest) {
  const std::vector<Message> messages = {To("s1", "1"), To("s2", "a"), To("s1", "2")};
  const auto receipts = producer_->SendAll(messages);
  ASSERT_TRUE(receipts.ok()) << receipts.status();
  ASSERT_THAT(*receipts, SizeIs(3));
  EXPECT_EQ((*receipts)[0].offset, 0u);
  EXPECT_EQ((*receipts)[1].offset, 0u);
  EXPECT_EQ((*receipts)[2].offset, 1u);
  LiteSimpleConsumer consumer = Simple();
  ASSERT_TRUE(consumer.Subscribe("s1").ok());
  EXPECT_THAT(Bodies(Take(consumer)), ElementsAre("1", "2"));
}

TEST_F(LiteTest, TheGroupBeginsWhereItIsToldTo) {
  for (const char* body : {"0", "1", "2"}) Send("s1", body);
  LiteSimpleConsumer consumer = Simple();
  ASSERT_TRUE(consumer.Subscribe("s1", StartAt::Offset(1)).ok());
  const std::vector<ReceivedLiteMessage> taken = Take(consumer);
  EXPECT_THAT(Bodies(taken), ElementsAre("1", "2"));
  EXPECT_TRUE(consumer.Ack(taken).ok());
}

TEST_F(LiteTest, WhatFailsComesAgain) {
  LiteSimpleConsumer consumer = Simple();
  ASSERT_TRUE(consumer.Subscribe("s1").ok());
  Send("s1", "x");
  std::vector<ReceivedLiteMessage> taken = Take(consumer);
  ASSERT_THAT(taken, SizeIs(1));
  ASSERT_TRUE(consumer.Retry(taken[0], milliseconds(100)).ok());
  taken = Take(consumer);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].attempt, 2u);
  ASSERT_TRUE(consumer.Suspend(taken[0], milliseconds(100)).ok());
  taken = Take(consumer);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].attempt, 2u);
}

TEST_F(LiteTest, APushConsumerKeepsTheOrderOfEach) {
  Seen seen;
  LitePushConsumerOptions options;
  options.topic = "sessions";
  options.group = "agents";
  options.listener = [&](const ReceivedLiteMessage& message) {
    // The second of each fails at first, and holds up those behind it.
    const bool fails = message.body == "1" && message.attempt == 1;
    seen.Add(message.lite_topic, fails ? "failed" : message.body);
    return fails ? ConsumeResult::kRetry : ConsumeResult::kAck;
  };
  auto consumer = client_->MakeLitePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const std::vector<std::string> names = {"a", "b", "c"};
  std::vector<Message> messages;
  for (const std::string& name : names) {
    for (int i = 0; i < 4; ++i) messages.push_back(To(name, std::to_string(i)));
  }
  ASSERT_TRUE(producer_->SendAll(messages).ok());
  for (const std::string& name : names) ASSERT_TRUE(consumer->Subscribe(name).ok());
  for (const std::string& name : names) {
    EXPECT_THAT(seen.Await(name, 5), ElementsAre("0", "failed", "1", "2", "3"));
  }
  EXPECT_THAT(consumer->subscriptions(), ElementsAre("a", "b", "c"));
}

TEST_F(LiteTest, AnExclusiveOneGoesToTheLastWhoSubscribes) {
  CreateGroup("one-each", admin::v1::LITE_EXCLUSIVE);
  Seen lost;
  Seen seen;
  LitePushConsumerOptions options;
  options.topic = "sessions";
  options.group = "one-each";
  options.listener = [&](const ReceivedLiteMessage& message) {
    seen.Add("first", message.body);
    return ConsumeResult::kAck;
  };
  options.on_lost = [&](std::string_view name) { lost.Add("first", std::string(name)); };
  auto first = client_->MakeLitePushConsumer(options);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(first->Subscribe("s1").ok());
  Send("s1", "1");
  EXPECT_THAT(seen.Await("first", 1), ElementsAre("1"));
  LiteSimpleConsumer second = Simple("one-each");
  ASSERT_TRUE(second.Subscribe("s1").ok());
  EXPECT_THAT(lost.Await("first", 1), ElementsAre("s1"));
  EXPECT_THAT(first->subscriptions(), IsEmpty());
  Send("s1", "2");
  EXPECT_THAT(Bodies(Take(second)), ElementsAre("2"));
  // Who goes leaves it to others at once.
  second.Close();
  ASSERT_TRUE(first->Subscribe("s1").ok());
}

TEST_F(LiteTest, SubscriptionsAndMessagesOutliveTheBroker) {
  LiteSimpleConsumer consumer = Simple();
  ASSERT_TRUE(consumer.Subscribe("s1").ok());
  Send("s1", "before");
  const std::vector<ReceivedLiteMessage> before = Take(consumer);
  ASSERT_THAT(Bodies(before), ElementsAre("before"));
  ASSERT_TRUE(consumer.Ack(before).ok());
  const std::string address = broker_->address();
  broker_->Kill();
  broker_options_.settings.push_back("server.listen_address=" + address);
  Start();
  EXPECT_EQ(Send("s1", "after"), 1u);
  // The consumer tells the broker again what it wants, without being asked. The acknowledgement may
  // not have been saved: then the first comes again.
  std::string last = "before";
  while (last == "before") {
    const std::vector<ReceivedLiteMessage> taken = Take(consumer);
    ASSERT_FALSE(taken.empty());
    last = taken.back().body;
    ASSERT_TRUE(consumer.Ack(taken).ok());
  }
  EXPECT_EQ(last, "after");
}

// What was processed while the broker was away is done all the same: else the broker, which extends
// leases for as long as the consumer lives, would hold the lightweight topic up for good.
TEST_F(LiteTest, APushConsumerInsistsOnItsAcknowledgements) {
  Seen seen;
  Mutex mutex;
  CondVar changed;
  bool broker_is_gone = false;
  LitePushConsumerOptions options;
  options.topic = "sessions";
  options.group = "agents";
  options.listener = [&](const ReceivedLiteMessage& message) {
    seen.Add("s1", message.body);
    MutexLock lock(mutex);
    while (!broker_is_gone) changed.Wait(mutex);
    return ConsumeResult::kAck;
  };
  auto consumer = client_->MakeLitePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(consumer->Subscribe("s1").ok());
  Send("s1", "1");
  EXPECT_THAT(seen.Await("s1", 1), ElementsAre("1"));
  const std::string address = broker_->address();
  // Not killed: the lease, just begun, has to be known after the restart.
  ASSERT_TRUE(broker_->Stop().ok());
  {
    MutexLock lock(mutex);
    broker_is_gone = true;
    changed.SignalAll();
  }
  broker_options_.settings.push_back("server.listen_address=" + address);
  Start();
  Send("s1", "2");
  std::vector<std::string> bodies = seen.Await("s1", 2);
  if (bodies.size() == 2 && bodies.back() == "1") bodies = seen.Await("s1", 3);
  EXPECT_EQ(bodies.back(), "2");
}

TEST_F(LiteTest, WhatCannotBeReadBecomesADeadLetter) {
  admin::v1::UpdateGroupRequest update;
  update.mutable_group()->set_name("agents");
  update.mutable_group()->set_max_attempts(2);
  Ask(&admin::v1::AdminService::Stub::UpdateGroup, update);
  Seen seen;
  LitePushConsumerOptions options;
  options.topic = "sessions";
  options.group = "agents";
  options.listener = [&](const ReceivedLiteMessage& message) {
    seen.Add("read", message.body);
    return ConsumeResult::kAck;
  };
  options.on_error = [&](const absl::Status& status) {
    if (absl::IsDataLoss(status)) seen.Add("unread", status.ToString());
  };
  auto consumer = client_->MakeLitePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(consumer->Subscribe("s1").ok());
  // No SDK sends this.
  const auto stub = v2::MessagingService::NewStub(
      grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
  v2::SendMessageRequest request;
  for (const char* body : {"no gzip", "good"}) {
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name("sessions");
    message.set_body(body);
    v2::SystemProperties& system = *message.mutable_system_properties();
    system.set_message_id(body);
    system.set_message_type(v2::LITE);
    system.set_lite_topic("s1");
    system.set_body_encoding(request.messages_size() == 1 ? v2::GZIP : v2::IDENTITY);
  }
  grpc::ClientContext context;
  context.AddMetadata("x-mq-client-id", "raw");
  v2::SendMessageResponse response;
  ASSERT_TRUE(stub->SendMessage(&context, request, &response).ok());
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  EXPECT_THAT(seen.Await("read", 1), ElementsAre("good"));
  EXPECT_THAT(seen.Await("unread", 2), SizeIs(2));
}

TEST_F(LiteTest, MistakesAreToldPrecisely) {
  Message message = To("s1", "x");
  message.priority = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(producer_->Send(message).status()));
  EXPECT_THAT(producer_->Send(To("", "x")).status().ToString(), HasSubstr("no lite_topic"));
  EXPECT_THAT(producer_->Send(To("a/b", "x")).status().ToString(), HasSubstr("ILLEGAL_LITE_TOPIC"));
  auto producer = client_->MakeProducer(ProducerOptions());
  ASSERT_TRUE(producer.ok());
  EXPECT_THAT(producer->Send(To("s1", "x")).status().ToString(), HasSubstr("LiteProducer"));
  LiteSimpleConsumer consumer = Simple("nobody");
  EXPECT_THAT(consumer.Subscribe("s1").ToString(), HasSubstr("ILLEGAL_CONSUMER_GROUP"));
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Receive(1, milliseconds(0)).status()));
  consumer.Close();
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer.Receive(1, kPatience).status()));
  producer_->Close();
  EXPECT_TRUE(absl::IsFailedPrecondition(producer_->Send(To("s1", "x")).status()));
}

TEST_F(LiteTest, CloseEndsAReceiveThatWaits) {
  LiteSimpleConsumer consumer = Simple();
  absl::Status ended;
  std::thread receive([&] { ended = consumer.Receive(1, kPatience).status(); });
  consumer.Close();
  receive.join();
  EXPECT_TRUE(absl::IsFailedPrecondition(ended)) << ended;
}

}  // namespace
}  // namespace dunlin
