// Requests and replies, and priorities, by the SDK against the real broker.

#include "dunlin/requester.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
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
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr seconds kPatience{30};

class RequesterTest : public ::testing::Test {
 protected:
  RequesterTest() {
    e2e::BrokerOptions options;
    options.program = "services/standalone/dunlin";
    options.data_dir = std::string(std::getenv("TEST_TMPDIR")) + "/" +
                       ::testing::UnitTest::GetInstance()->current_test_info()->name();
    options.stderr_file = options.data_dir + ".log";
    auto broker = e2e::StartBroker(options);
    EXPECT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    ClientOptions client_options;
    client_options.endpoint = broker_->address();
    absl::StatusOr<Client> client = Client::Connect(client_options);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = std::make_unique<Client>(*std::move(client));
    CreateTopic("questions", admin::v1::NORMAL);
    CreateTopic("replies", admin::v1::NORMAL);
  }

  void CreateTopic(const std::string& name, admin::v1::MessageKind kind) {
    const auto stub = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->add_kinds(kind);
    request.mutable_topic()->set_queues(4);
    grpc::ClientContext context;
    admin::v1::Topic topic;
    const grpc::Status status = stub->CreateTopic(&context, request, &topic);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  void DeleteTopic(const std::string& name) {
    const auto stub = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
    admin::v1::DeleteTopicRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    admin::v1::DeleteTopicResponse response;
    const grpc::Status status = stub->DeleteTopic(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // Answers each question with its body and "!"; those that begin with "-" never.
  void Serve() {
    auto producer = client_->MakeProducer(ProducerOptions());
    ASSERT_TRUE(producer.ok());
    producer_ = std::make_unique<Producer>(*std::move(producer));
    PushConsumerOptions options;
    options.group = "servants";
    options.subscriptions = {{"questions"}};
    options.listener = [this](const ReceivedMessage& question) {
      if (question.body().starts_with("-")) return ConsumeResult::kAck;
      absl::StatusOr<Message> reply = ReplyTo(question);
      EXPECT_TRUE(reply.ok()) << reply.status();
      EXPECT_TRUE(ReplyDeadline(question).has_value());
      reply->body = std::string(question.body()) + "!";
      EXPECT_TRUE(producer_->Send(*reply).ok());
      return ConsumeResult::kAck;
    };
    auto consumer = client_->MakePushConsumer(options);
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    servant_ = std::make_unique<PushConsumer>(*std::move(consumer));
  }
  static Message Question(const std::string& body) {
    Message message;
    message.topic = "questions";
    message.body = body;
    return message;
  }

  std::unique_ptr<e2e::Program> broker_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Producer> producer_;
  std::unique_ptr<PushConsumer> servant_;  // before what its listener uses
};

TEST_F(RequesterTest, EachGetsTheReplyToItsOwnRequest) {
  Serve();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      auto requester = client_->MakeRequester(RequesterOptions());
      ASSERT_TRUE(requester.ok()) << requester.status();
      for (int i = 0; i < 50; ++i) {
        const std::string body = std::to_string(t) + "/" + std::to_string(i);
        const auto reply = requester->Request(Question(body), kPatience);
        ASSERT_TRUE(reply.ok()) << reply.status();
        EXPECT_EQ(reply->body(), body + "!");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RequesterTest, ManyWaitAtATime) {
  Serve();
  auto requester = client_->MakeRequester(RequesterOptions());
  ASSERT_TRUE(requester.ok()) << requester.status();
  constexpr int kCount = 1000;
  Mutex mutex;
  CondVar changed;
  int right = 0;
  int ended = 0;
  for (int i = 0; i < kCount; ++i) {
    const std::string body = std::to_string(i);
    const absl::Status asked = requester->RequestAsync(
        Question(body), kPatience, [&, body](const absl::StatusOr<ReceivedMessage>& reply) {
          MutexLock lock(mutex);
          if (reply.ok() && reply->body() == body + "!") ++right;
          ++ended;
          changed.Signal();
        });
    ASSERT_TRUE(asked.ok()) << asked;
  }
  MutexLock lock(mutex);
  while (ended < kCount) changed.Wait(mutex);
  EXPECT_EQ(right, kCount);
}

TEST_F(RequesterTest, SaysWhyThereIsNoReply) {
  Serve();
  RequesterOptions options;
  options.max_waiting = 1;
  auto requester = client_->MakeRequester(options);
  ASSERT_TRUE(requester.ok());
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(requester->Request(Question("-never"), milliseconds(50)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(requester->Request(Question("x"), seconds(0)).status()));
  Message wrong = Question("x");
  wrong.properties.emplace_back("correlation-id", "mine");
  EXPECT_TRUE(absl::IsInvalidArgument(requester->Request(wrong, kPatience).status()));

  std::atomic<int> cancelled{0};
  ASSERT_TRUE(requester
                  ->RequestAsync(Question("-never"), kPatience,
                                 [&](const absl::StatusOr<ReceivedMessage>& reply) {
                                   if (absl::IsCancelled(reply.status())) cancelled.fetch_add(1);
                                 })
                  .ok());
  EXPECT_TRUE(absl::IsResourceExhausted(requester->Request(Question("x"), kPatience).status()));
  requester->Close();
  EXPECT_EQ(cancelled.load(), 1);
  EXPECT_TRUE(absl::IsCancelled(requester->Request(Question("x"), kPatience).status()));

  options.reply_topic = "no-such-topic";
  EXPECT_FALSE(client_->MakeRequester(options).ok());
}

TEST_F(RequesterTest, GoesOnWhenTheReplyTopicIsMadeAgain) {
  Serve();
  auto requester = client_->MakeRequester(RequesterOptions());
  ASSERT_TRUE(requester.ok());
  ASSERT_TRUE(requester->Request(Question("one"), kPatience).ok());
  DeleteTopic("replies");
  while (!absl::IsNotFound(requester->Request(Question("-two"), milliseconds(100)).status())) {
  }
  CreateTopic("replies", admin::v1::NORMAL);
  absl::StatusOr<ReceivedMessage> reply = absl::NotFoundError("");
  while (absl::IsNotFound(reply.status())) reply = requester->Request(Question("three"), kPatience);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body(), "three!");
}

TEST_F(RequesterTest, PlainMessagesAskForNoReply) {
  auto producer = client_->MakeProducer(ProducerOptions());
  ASSERT_TRUE(producer->Send(Question("plain")).ok());
  auto consumer = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(consumer->AssignAll("questions", StartAt::First()).ok());
  const auto batch = consumer->Poll(kPatience);
  ASSERT_TRUE(batch.ok());
  ASSERT_EQ(batch->size(), 1u);
  EXPECT_TRUE(absl::IsInvalidArgument(ReplyTo(*batch->begin()).status()));
  EXPECT_FALSE(ReplyDeadline(*batch->begin()).has_value());
}

TEST_F(RequesterTest, WhatIsMoreUrgentComesFirst) {
  CreateTopic("urgent", admin::v1::PRIORITY);
  auto producer = client_->MakeProducer(ProducerOptions());
  ASSERT_TRUE(producer.ok());
  Message message;
  message.topic = "urgent";
  for (const int32_t priority : {1, 7, 0, 2}) {
    message.priority = priority;
    message.body = std::to_string(priority);
    const auto sent = producer->Send(message);
    ASSERT_TRUE(sent.ok()) << sent.status();
    EXPECT_EQ(sent->queue, static_cast<uint32_t>(std::min(priority, 3)));
  }
  message.priority = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(producer->Send(message).status()));
  message.priority = 1;
  message.queue = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(producer->Send(message).status()));

  // All of them are there once a reader has seen them.
  auto reader = client_->MakePullConsumer(PullConsumerOptions());
  ASSERT_TRUE(reader->AssignAll("urgent", StartAt::First()).ok());
  for (size_t seen = 0; seen < 4;) {
    const auto batch = reader->Poll(kPatience);
    ASSERT_TRUE(batch.ok());
    for (const MessageView& one : *batch) {
      EXPECT_EQ(std::to_string(*one.priority()), one.body());
      ++seen;
    }
  }
  SimpleConsumerOptions options;
  options.group = "g";
  auto consumer = client_->MakeSimpleConsumer(options);
  ASSERT_TRUE(consumer.ok());
  ASSERT_TRUE(consumer->Subscribe("urgent").ok());
  std::vector<std::string> bodies;
  while (bodies.size() < 4) {
    auto messages = consumer->Receive(4, kPatience);
    ASSERT_TRUE(messages.ok()) << messages.status();
    for (const auto& one : *messages) bodies.emplace_back(one.body());
  }
  EXPECT_THAT(bodies, ElementsAre("7", "2", "1", "0"));
}

}  // namespace
}  // namespace dunlin
