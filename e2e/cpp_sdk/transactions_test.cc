// Transactions of the C++ SDK against the real broker.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/simple_consumer.h"
#include "dunlin/transaction_producer.h"

#include "e2e/harness/broker.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr seconds kPatience{30};

// What the checker is asked, and how it answers: by body.
class Decisions {
 public:
  void Decide(const std::string& body, Resolution resolution) {
    MutexLock lock(mutex_);
    decided_[body] = resolution;
  }
  Resolution Answer(const OrphanedTransaction& orphan) {
    MutexLock lock(mutex_);
    asked_.push_back(orphan);
    changed_.SignalAll();
    const auto found = decided_.find(orphan.message.body);
    return found == decided_.end() ? Resolution::kUnknown : found->second;
  }
  // The questions once there are so many.
  std::vector<OrphanedTransaction> AwaitAsked(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (asked_.size() < count && changed_.WaitUntil(mutex_, deadline)) {
    }
    EXPECT_GE(asked_.size(), count);
    return asked_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Resolution> decided_ ABSL_GUARDED_BY(mutex_);
  std::vector<OrphanedTransaction> asked_ ABSL_GUARDED_BY(mutex_);
};

class TransactionsTest : public ::testing::Test {
 protected:
  TransactionsTest() {
    options_.program = "services/standalone/dunlin";
    options_.data_dir = std::string(std::getenv("TEST_TMPDIR")) + "/" +
                        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    options_.stderr_file = options_.data_dir + ".log";
    options_.settings = {"broker.transactions.first_check_ms=300",
                         "broker.transactions.check_interval_ms=300"};
    Start();
    CreateTopic();
    client_ = std::make_unique<Client>(Connect());
  }

  void Start() {
    auto broker = e2e::StartBroker(options_);
    EXPECT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
  }

  void CreateTopic() {
    const auto admin = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(broker_->address(), grpc::InsecureChannelCredentials()));
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_topic()->add_kinds(admin::v1::TRANSACTION);
    grpc::ClientContext context;
    admin::v1::Topic created;
    EXPECT_TRUE(admin->CreateTopic(&context, request, &created).ok());
  }

  Client Connect() {
    ClientOptions options;
    options.endpoint = broker_->address();
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  TransactionProducer MakeProducer() {
    TransactionProducerOptions options;
    options.topics = {"t"};
    options.checker = [this](const OrphanedTransaction& orphan) {
      return decisions_.Answer(orphan);
    };
    absl::StatusOr<TransactionProducer> producer = client_->MakeTransactionProducer(options);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }

  static Message MessageOf(const std::string& body) {
    Message message;
    message.topic = "t";
    message.body = body;
    message.tag = "tag";
    message.keys = {"key"};
    message.properties = {{"name", "value"}};
    return message;
  }

  // Bodies of what comes within `wait`, at most `count`.
  std::vector<std::string> Receive(size_t count, milliseconds wait = kPatience) {
    if (!consumer_.has_value()) {
      SimpleConsumerOptions options;
      options.group = "g";
      absl::StatusOr<SimpleConsumer> consumer = client_->MakeSimpleConsumer(options);
      EXPECT_TRUE(consumer.ok()) << consumer.status();
      consumer_.emplace(*std::move(consumer));
      EXPECT_TRUE(consumer_->Subscribe("t").ok());
    }
    std::vector<std::string> bodies;
    const auto deadline = std::chrono::steady_clock::now() + wait;
    while (bodies.size() < count && std::chrono::steady_clock::now() < deadline) {
      const auto messages = consumer_->Receive(static_cast<int>(count), milliseconds(100));
      EXPECT_TRUE(messages.ok()) << messages.status();
      if (!messages.ok()) break;
      for (const ReceivedMessage& message : *messages) {
        EXPECT_EQ(message.tag(), "tag");
        bodies.emplace_back(message.body());
        EXPECT_TRUE(consumer_->Ack(message).ok());
      }
    }
    return bodies;
  }

  e2e::BrokerOptions options_;
  std::unique_ptr<e2e::Program> broker_;
  std::unique_ptr<Client> client_;
  std::optional<SimpleConsumer> consumer_;
  Decisions decisions_;
};

TEST_F(TransactionsTest, WhatIsCommittedComesAndNothingElse) {
  TransactionProducer producer = MakeProducer();
  auto wrong = producer.Prepare(MessageOf("wrong"));
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  auto right = producer.Prepare(MessageOf("right"));
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_TRUE(wrong->Rollback().ok());
  EXPECT_TRUE(right->Commit().ok());
  EXPECT_TRUE(right->Commit().ok()) << "a second time changes nothing";
  EXPECT_TRUE(absl::IsFailedPrecondition(right->Rollback()));
  EXPECT_THAT(Receive(1), ElementsAre("right"));
  EXPECT_THAT(Receive(1, milliseconds(500)), IsEmpty());
}

TEST_F(TransactionsTest, WhatIsLeftOpenIsAskedAbout) {
  TransactionProducer producer = MakeProducer();
  for (const char* body : {"committed", "rolled back", "not yet"}) {
    ASSERT_TRUE(producer.Prepare(MessageOf(body)).ok());
  }
  decisions_.Decide("committed", Resolution::kCommit);
  decisions_.Decide("rolled back", Resolution::kRollback);
  EXPECT_THAT(Receive(1), ElementsAre("committed"));
  const std::vector<OrphanedTransaction> asked = decisions_.AwaitAsked(6);
  EXPECT_EQ(asked[0].message.topic, "t");
  EXPECT_EQ(asked[0].message.tag, "tag");
  EXPECT_THAT(asked[0].message.keys, ElementsAre("key"));
  EXPECT_EQ(asked[0].message.properties.size(), 1u);
  decisions_.Decide("not yet", Resolution::kCommit);
  EXPECT_THAT(Receive(1), ElementsAre("not yet"));
  EXPECT_THAT(Receive(1, milliseconds(500)), IsEmpty());
}

TEST_F(TransactionsTest, AnotherProducerAnswersForOneThatHasGone) {
  {
    TransactionProducer gone = MakeProducer();
    ASSERT_TRUE(gone.Prepare(MessageOf("orphan")).ok());
  }
  decisions_.Decide("orphan", Resolution::kCommit);
  const TransactionProducer other = MakeProducer();
  EXPECT_THAT(Receive(1), ElementsAre("orphan"));
}

TEST_F(TransactionsTest, ItOutlivesTheBroker) {
  const std::string address = broker_->address();
  TransactionProducer producer = MakeProducer();
  auto open = producer.Prepare(MessageOf("open"));
  ASSERT_TRUE(open.ok()) << open.status();
  ASSERT_TRUE(producer.Prepare(MessageOf("left")).ok());
  broker_->Kill();
  EXPECT_FALSE(producer.Prepare(MessageOf("lost")).ok());
  options_.settings.push_back("server.listen_address=" + address);
  Start();
  EXPECT_TRUE(open->Commit().ok());
  EXPECT_THAT(Receive(1), ElementsAre("open"));
  decisions_.Decide("left", Resolution::kCommit);
  EXPECT_THAT(Receive(1), ElementsAre("left"));
}

TEST_F(TransactionsTest, WhatCannotBeIsRefused) {
  EXPECT_FALSE(client_->MakeTransactionProducer(TransactionProducerOptions()).ok());
  TransactionProducer producer = MakeProducer();
  Message message = MessageOf("x");
  message.message_group = "group";
  EXPECT_TRUE(absl::IsInvalidArgument(producer.Prepare(message).status()));
  message = MessageOf("x");
  message.queue = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(producer.Prepare(message).status()));
  message = MessageOf("x");
  auto normal = client_->MakeProducer(ProducerOptions());
  EXPECT_FALSE(normal->Send(MessageOf("x")).ok()) << "the topic takes half messages only";
  auto last = producer.Prepare(MessageOf("last"));
  ASSERT_TRUE(last.ok());
  producer.Close();
  EXPECT_TRUE(absl::IsFailedPrecondition(producer.Prepare(MessageOf("x")).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(last->Commit()));
}

}  // namespace
}  // namespace dunlin
