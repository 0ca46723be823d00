#include "clients/cpp/src/producer_core.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "dunlin/client.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/testing/fake_broker.h"

namespace dunlin::internal {
namespace {

using testing::FakeBroker;

class ProducerCoreTest : public ::testing::Test {
 protected:
  void Start(const FakeBroker::Options& options) {
    broker_ = std::make_unique<FakeBroker>(options);
    broker_->AddTopic("t");
    ClientOptions client;
    client.endpoint = broker_->address();
    auto connection = Connection::Make(client);
    ASSERT_TRUE(connection.ok()) << connection.status();
    core_ = std::make_unique<ProducerCore>(*connection, ProducerOptions());
  }

  absl::Status SendTo(uint32_t queue, const std::string& topic = "t") {
    Message message;
    message.topic = topic;
    message.queue = queue;
    message.body = "b";
    return core_->Submit(message, nullptr);
  }

  static Route At(uint32_t queues, uint32_t write_queues) {
    return {absl::OkStatus(), {{"fake", "", queues, write_queues, 1}}};
  }

  std::unique_ptr<FakeBroker> broker_;
  std::unique_ptr<ProducerCore> core_;
};

TEST_F(ProducerCoreTest, AnOldRouteTakesNoQueuesFromATopic) {
  FakeBroker::Options options;
  options.queues = 4;
  options.watches = false;  // its routes do not know the topic's id
  Start(options);
  ASSERT_TRUE(SendTo(3).ok());
  core_->OnRoute("t", At(2, 2));
  EXPECT_TRUE(SendTo(3).ok());
}

TEST_F(ProducerCoreTest, QueuesThatTakeNoMessagesAnyMoreAreNotSentTo) {
  FakeBroker::Options options;
  options.queues = 4;
  options.watches = false;
  Start(options);
  ASSERT_TRUE(SendTo(3).ok());
  core_->OnRoute("t", At(4, 2));
  EXPECT_TRUE(SendTo(1).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(SendTo(2)));
  core_->OnRoute("t", At(4, 4));
  EXPECT_TRUE(SendTo(3).ok());
}

TEST_F(ProducerCoreTest, MoreQueuesThanACallHasBindingsTakeAnotherCall) {
  FakeBroker::Options options;
  options.queues = 33'000;
  Start(options);
  broker_->AddTopic("u");
  for (const char* topic : {"t", "u"}) {
    for (uint32_t queue = 0; queue < options.queues; ++queue) {
      ASSERT_TRUE(SendTo(queue, topic).ok());
    }
  }
  ASSERT_TRUE(core_->Flush(std::chrono::minutes(1)).ok());
  EXPECT_EQ(broker_->MessageCount("t") + broker_->MessageCount("u"), 66'000u);
  EXPECT_EQ(broker_->seen().publish_calls, 2);
}

}  // namespace
}  // namespace dunlin::internal
