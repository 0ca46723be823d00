// The SDK against the real broker.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/push_consumer.h"
#include "dunlin/simple_consumer.h"

#include "e2e/harness/broker.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{30};

class DunlinTest : public ::testing::Test {
 protected:
  DunlinTest() {
    options_.program = "services/standalone/dunlin";
    options_.data_dir = std::string(std::getenv("TEST_TMPDIR")) + "/" +
                        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    options_.stderr_file = options_.data_dir + ".log";
    Start();
    client_ = std::make_unique<Client>(Connect());
  }

  void Start() {
    auto broker = e2e::StartBroker(options_);
    EXPECT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
  }

  Client Connect() {
    ClientOptions options;
    options.endpoint = broker_->address();
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // Topic t with so many queues; it is there already, or it is not.
  void PutTopic(uint32_t queues, bool exists) {
    admin::v1::Topic topic;
    topic.set_name("t");
    topic.set_queues(queues);
    grpc::ClientContext context;
    admin::v1::Topic put;
    if (exists) {
      admin::v1::UpdateTopicRequest request;
      *request.mutable_topic() = topic;
      EXPECT_TRUE(Admin()->UpdateTopic(&context, request, &put).ok());
    } else {
      admin::v1::CreateTopicRequest request;
      *request.mutable_topic() = topic;
      EXPECT_TRUE(Admin()->CreateTopic(&context, request, &put).ok());
    }
  }

  void DeleteTopic() {
    grpc::ClientContext context;
    admin::v1::DeleteTopicRequest request;
    request.set_name("t");
    admin::v1::DeleteTopicResponse response;
    EXPECT_TRUE(Admin()->DeleteTopic(&context, request, &response).ok());
  }

  std::unique_ptr<admin::v1::AdminService::Stub> Admin() {
    return admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
  }

  // Sends `count` messages whose bodies are numbers.
  void Produce(int count, const std::string& tag = "") {
    auto producer = client_->MakeProducer(ProducerOptions());
    ASSERT_TRUE(producer.ok()) << producer.status();
    std::atomic<int> stored{0};
    Message message;
    message.topic = "t";
    message.tag = tag;
    for (int i = 0; i < count; ++i) {
      message.body = std::to_string(i);
      ASSERT_TRUE(producer
                      ->SendAsync(message,
                                  [&stored](const absl::StatusOr<Receipt>& receipt) {
                                    if (receipt.ok()) stored.fetch_add(1);
                                  })
                      .ok());
    }
    ASSERT_TRUE(producer->Flush(kPatience).ok());
    ASSERT_EQ(stored.load(), count);
  }

  e2e::BrokerOptions options_;
  std::unique_ptr<e2e::Program> broker_;
  std::unique_ptr<Client> client_;
};

TEST_F(DunlinTest, WhatIsSentIsPulledOnceAndInOrder) {
  constexpr int kCount = 100'000;
  Produce(kCount);
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(consumer.ok());
  const auto queues = consumer->AssignAll("t", StartAt::First());
  ASSERT_TRUE(queues.ok()) << queues.status();
  std::vector<uint64_t> next(*queues);
  std::vector<bool> seen(kCount);
  for (int count = 0; count < kCount;) {
    const auto batch = consumer->Poll(kPatience);
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_FALSE(batch->empty()) << count;
    for (const MessageView& message : *batch) {
      ASSERT_EQ(message.offset(), next[batch->queue()]++);
      const auto number = static_cast<size_t>(std::stoi(std::string(message.body())));
      ASSERT_FALSE(seen[number]);
      seen[number] = true;
      ++count;
    }
  }
}

TEST_F(DunlinTest, ADelayedMessageComesWhenItIsDue) {
  grpc::ClientContext context;
  admin::v1::CreateTopicRequest request;
  request.mutable_topic()->set_name("delayed");
  request.mutable_topic()->add_kinds(admin::v1::DELAY);
  admin::v1::Topic topic;
  ASSERT_TRUE(Admin()->CreateTopic(&context, request, &topic).ok());
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(consumer.ok() && consumer->AssignAll("delayed", StartAt::First()).ok());
  auto producer = client_->MakeProducer(ProducerOptions());
  const auto now = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
  Message message;
  message.topic = "delayed";
  message.tag = "tag";
  for (int64_t delay : {700, 301}) {
    message.body = std::to_string(delay);
    message.deliver_at = now + milliseconds(delay);
    const auto receipt = producer->Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->offset, -1);
  }
  for (int64_t delay : {301, 700}) {
    const auto batch = consumer->Poll(kPatience);
    ASSERT_TRUE(batch.ok() && batch->size() == 1) << batch.status();
    EXPECT_EQ(batch->begin()->body(), std::to_string(delay));
    EXPECT_EQ(batch->begin()->tag(), "tag");
    EXPECT_GE(std::chrono::system_clock::now(), now + milliseconds(delay));
  }
}

TEST_F(DunlinTest, AReceiptNamesTheMessageAsConsumersSeeIt) {
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "t";
  message.body = "body";
  message.tag = "tag";
  message.keys = {"key"};
  message.properties = {{"name", "value"}};
  const auto receipt = producer->Send(message);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(
      consumer->Assign("t", receipt->queue, StartAt::First(), Filter::Tags("tag || other")).ok());
  const auto batch = consumer->Poll(kPatience);
  ASSERT_TRUE(batch.ok() && !batch->empty()) << batch.status();
  const MessageView& received = *batch->begin();
  EXPECT_EQ(received.message_id(), receipt->message_id());
  EXPECT_EQ(received.tag(), "tag");
  EXPECT_EQ(received.keys(), std::vector<std::string_view>{"key"});
  EXPECT_EQ(received.property("name"), "value");
  EXPECT_GT(received.store_time().time_since_epoch().count(), 0);
}

TEST_F(DunlinTest, PredicatesSelectByProperties) {
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "t";
  for (int price = 0; price < 10; ++price) {
    message.body = std::to_string(price);
    message.properties = {{"price", message.body}};
    ASSERT_TRUE(producer->Send(message).ok());
  }
  const Filter dear = Filter::Sql("price >= 7.5 AND NOT price = 9");
  SimpleConsumerOptions options;
  options.group = "g";
  auto member = client_->MakeSimpleConsumer(options);
  ASSERT_TRUE(member->Subscribe("t", dear).ok());
  const auto received = member->Receive(10, kPatience);
  ASSERT_TRUE(received.ok() && received->size() == 1) << received.status();
  EXPECT_EQ(received->front().body(), "8");
  // A queue of which nothing matches is read to its end.
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  const auto queues = consumer->AssignAll("t", StartAt::First(), Filter::Sql("price > 100"));
  ASSERT_TRUE(queues.ok()) << queues.status();
  const auto positions = [&] {
    uint64_t sum = 0;
    for (uint32_t queue = 0; queue < *queues; ++queue) sum += *consumer->Position("t", queue);
    return sum;
  };
  for (int i = 0; i < 30 && positions() < 10; ++i) {
    const auto nothing = consumer->Poll(std::chrono::seconds(1));
    ASSERT_TRUE(nothing.ok() && nothing->empty());
  }
  EXPECT_EQ(positions(), 10u);
}

TEST_F(DunlinTest, AMessageGroupIsConsumedInOrderThroughFailures) {
  constexpr int kGroups = 20;
  constexpr int kCount = 50;
  const auto channel = grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials());
  const auto admin = admin::v1::AdminService::NewStub(channel);
  admin::v1::CreateTopicRequest topic;
  topic.mutable_topic()->set_name("fifo");
  topic.mutable_topic()->add_kinds(admin::v1::FIFO);
  admin::v1::Topic created_topic;
  grpc::ClientContext topic_context;
  ASSERT_TRUE(admin->CreateTopic(&topic_context, topic, &created_topic).ok());
  admin::v1::CreateGroupRequest group;
  group.mutable_group()->set_name("ordered");
  group.mutable_group()->set_delivery_order(admin::v1::IN_ORDER);
  admin::v1::Group created_group;
  grpc::ClientContext group_context;
  ASSERT_TRUE(admin->CreateGroup(&group_context, group, &created_group).ok());

  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "fifo";
  for (int i = 0; i < kCount; ++i) {
    message.body = std::to_string(i);
    for (int g = 0; g < kGroups; ++g) {
      message.message_group = "group " + std::to_string(g);
      ASSERT_TRUE(producer->SendAsync(message).ok());
    }
  }
  ASSERT_TRUE(producer->Flush(kPatience).ok());

  Mutex mutex;
  std::map<std::string, std::vector<std::string>> done;
  std::set<std::string> failed;
  int count = 0;
  CondVar changed;
  PushConsumerOptions options;
  options.group = "ordered";
  options.subscriptions = {{"fifo"}};
  options.retry_delay = std::chrono::milliseconds(10);
  options.listener = [&](const ReceivedMessage& received) {
    const std::string name(received.message_group());
    const std::string body(received.body());
    MutexLock lock(mutex);
    if (std::stoi(body) % 7 == 3 && failed.insert(name + body).second) {
      return ConsumeResult::kRetry;
    }
    done[name].push_back(body);
    ++count;
    changed.Signal();
    return ConsumeResult::kAck;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  {
    MutexLock lock(mutex);
    while (count < kGroups * kCount && changed.WaitUntil(mutex, deadline)) {
    }
  }
  consumer->Close();
  ASSERT_EQ(done.size(), static_cast<size_t>(kGroups));
  for (const auto& [name, bodies] : done) {
    ASSERT_EQ(bodies.size(), static_cast<size_t>(kCount)) << name;
    for (int i = 0; i < kCount; ++i) EXPECT_EQ(bodies[static_cast<size_t>(i)], std::to_string(i));
  }
}

TEST_F(DunlinTest, CommittedOffsetsAreKept) {
  Produce(10);
  PullConsumerOptions options;
  options.group = "g";
  {
    auto consumer = client_->MakePullConsumer(options);
    ASSERT_TRUE(consumer->Assign("t", 0, StartAt::First()).ok());
    ASSERT_TRUE(consumer->Commit("t", 0, 1).ok());
  }
  auto consumer = client_->MakePullConsumer(options);
  const auto bounds = consumer->Assign("t", 0, StartAt::Committed());
  ASSERT_TRUE(bounds.ok()) << bounds.status();
  EXPECT_EQ(bounds->start_offset, 1u);
}

TEST_F(DunlinTest, AGroupReceivesEveryMessageAndRetriesWhatFailed) {
  constexpr size_t kCount = 2000;
  Produce(kCount);
  Mutex mutex;
  std::set<std::string> bodies;
  std::atomic<int> second_attempts{0};
  std::atomic<size_t> acks{0};
  PushConsumerOptions options;
  options.group = "g";
  options.subscriptions = {{"t"}};
  options.retry_delay = std::chrono::milliseconds(0);
  CondVar changed;
  options.listener = [&](const ReceivedMessage& message) {
    MutexLock lock(mutex);
    bodies.emplace(message.body());
    if (message.attempt() == 1 && message.body() == "77") return ConsumeResult::kRetry;
    if (message.attempt() == 2) second_attempts.fetch_add(1);
    acks.fetch_add(1);
    changed.Signal();
    return ConsumeResult::kAck;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  {
    MutexLock lock(mutex);
    while (acks.load() < kCount && changed.WaitUntil(mutex, deadline)) {
    }
  }
  consumer->Close();
  EXPECT_EQ(bodies.size(), kCount);
  EXPECT_EQ(second_attempts.load(), 1);
  EXPECT_EQ(acks.load(), kCount);
}

TEST_F(DunlinTest, LeasesAreExtendedAndGivenBack) {
  Produce(1);
  SimpleConsumerOptions options;
  options.group = "g";
  auto consumer = client_->MakeSimpleConsumer(options);
  ASSERT_TRUE(consumer->Subscribe("t").ok());
  auto messages = consumer->Receive(1, kPatience);
  ASSERT_TRUE(messages.ok() && messages->size() == 1) << messages.status();
  EXPECT_TRUE(consumer->Extend(messages->front(), std::chrono::seconds(60)).ok());
  ASSERT_TRUE(consumer->Release(messages->front(), std::chrono::milliseconds(0)).ok());
  messages = consumer->Receive(1, kPatience);
  ASSERT_TRUE(messages.ok() && messages->size() == 1) << messages.status();
  EXPECT_EQ(messages->front().attempt(), 1u);
  ASSERT_TRUE(consumer->Ack(messages->front()).ok());
  consumer->Close();
  EXPECT_EQ(consumer->late_settlements(), 0u);
}

TEST_F(DunlinTest, NewQueuesAreWrittenToAndReadAtOnce) {
  constexpr uint32_t kFirst = 2;
  constexpr uint32_t kLast = 12;
  PutTopic(kFirst, false);
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "t";
  message.body = "x";
  ASSERT_TRUE(producer->Send(message).ok());
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(consumer->AssignAll("t", StartAt::Last()).ok());
  std::vector<milliseconds> times;
  for (uint32_t queue = kFirst; queue < kLast; ++queue) {
    PutTopic(queue + 1, true);
    const auto begin = steady_clock::now();
    for (absl::StatusOr<Receipt> receipt = Receipt(); receipt->queue != queue;) {
      receipt = producer->Send(message);
      ASSERT_TRUE(receipt.ok()) << receipt.status();
    }
    for (uint32_t read = 0; read != queue;) {
      const auto batch = consumer->Poll(kPatience);
      ASSERT_TRUE(batch.ok() && !batch->empty()) << batch.status();
      read = batch->queue();
    }
    times.push_back(std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin));
  }
  // Most of them: the machine may do other things in between.
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  EXPECT_LT(times[times.size() / 2], ClientOptions().route_poll_interval / 10);
}

TEST_F(DunlinTest, ADeletedTopicIsAPreciseErrorAndAnotherOneOfItsNameIsUsed) {
  ASSERT_TRUE(broker_->Stop().ok());
  options_.auto_create_topics = false;
  Start();
  client_ = std::make_unique<Client>(Connect());
  PutTopic(4, false);
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "t";
  message.body = "x";
  const auto first = producer->Send(message);
  ASSERT_TRUE(first.ok()) << first.status();
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(consumer->Assign("t", 0, StartAt::Last()).ok());
  DeleteTopic();
  const absl::Status read = consumer->Poll(kPatience).status();
  EXPECT_TRUE(absl::IsNotFound(read)) << read;
  EXPECT_THAT(read.ToString(), HasSubstr("topic t was deleted"));
  const absl::Status sent = producer->Send(message).status();
  EXPECT_TRUE(absl::IsNotFound(sent)) << sent;
  EXPECT_THAT(sent.ToString(), HasSubstr("TOPIC_NOT_FOUND"));
  PutTopic(2, false);
  const auto deadline = steady_clock::now() + kPatience;
  absl::StatusOr<Receipt> again = producer->Send(message);
  while (!again.ok() && steady_clock::now() < deadline) again = producer->Send(message);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->topic_id, first->topic_id);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(producer->Send(message).ok());
}

TEST_F(DunlinTest, ABrokerThatMakesTopicsMakesADeletedOneAnew) {
  PutTopic(4, false);
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "t";
  message.body = "x";
  const auto first = producer->Send(message);
  ASSERT_TRUE(first.ok()) << first.status();
  DeleteTopic();
  const auto deadline = steady_clock::now() + kPatience;
  absl::StatusOr<Receipt> again = producer->Send(message);
  while (!again.ok() && steady_clock::now() < deadline) again = producer->Send(message);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->topic_id, first->topic_id);
}

TEST_F(DunlinTest, TlsIsVerifiedOrNot) {
  ASSERT_TRUE(broker_->Stop().ok());
  options_.tls = true;
  Start();
  ClientOptions options;
  options.endpoint = broker_->address();
  options.connect_timeout = kPatience;
  options.tls = Tls::kInsecure;
  const auto unverified = Client::Connect(options);
  ASSERT_TRUE(unverified.ok()) << unverified.status();
  Message message;
  message.topic = "t";
  message.body = "x";
  EXPECT_TRUE(unverified->MakeProducer({})->Send(message).ok());
  // The server has signed its certificate itself.
  std::ifstream file(options_.data_dir + "/tls/server.crt");
  options.tls = Tls::kVerified;
  options.tls_ca.assign(std::istreambuf_iterator<char>(file), {});
  ASSERT_THAT(options.tls_ca, HasSubstr("CERTIFICATE"));
  const auto verified = Client::Connect(options);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->MakeProducer({})->Send(message).ok());
  // Whom the system's authorities do not know is not talked to; nor in plaintext.
  options.connect_timeout = milliseconds(500);
  options.tls_ca.clear();
  EXPECT_TRUE(absl::IsUnavailable(Client::Connect(options).status()));
  options.tls = Tls::kOff;
  EXPECT_TRUE(absl::IsUnavailable(Client::Connect(options).status()));
}

TEST_F(DunlinTest, ErrorsAreThoseOfTheContract) {
  auto producer = client_->MakeProducer(ProducerOptions());
  Message message;
  message.topic = "not a topic!";
  message.body = "x";
  EXPECT_TRUE(absl::IsInvalidArgument(producer->Send(message).status()));
  message.topic = "t";
  message.tag = "a|b";
  EXPECT_TRUE(absl::IsInvalidArgument(producer->Send(message).status()));
  message.tag = "";
  EXPECT_TRUE(producer->Send(message).ok());
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  EXPECT_TRUE(absl::IsOutOfRange(consumer->Assign("t", 0, StartAt::Offset(99)).status()));
  const absl::Status refused =
      consumer->Assign("t", 0, StartAt::First(), Filter::Sql("price >")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("wrong at character 8"));
}

}  // namespace
}  // namespace dunlin
