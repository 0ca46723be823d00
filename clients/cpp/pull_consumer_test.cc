#include "dunlin/pull_consumer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"

#include "clients/cpp/testing/fake_broker.h"

namespace dunlin {
namespace {

using testing::FakeBroker;

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

v2::Message Stored(const std::string& body) {
  v2::Message message;
  message.mutable_topic()->set_name("another name");
  message.set_body(body);
  return message;
}

class PullConsumerTest : public ::testing::Test {
 protected:
  PullConsumerTest() { broker_.AddTopic("t"); }

  Client Connect() {
    ClientOptions options;
    options.endpoint = broker_.address();
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  PullConsumer MakeConsumer(const PullConsumerOptions& options = {}) {
    absl::StatusOr<PullConsumer> consumer = Connect().MakePullConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  void Store(int first, int count, uint32_t queue = 0) {
    for (int i = first; i < first + count; ++i) {
      broker_.Store("t", queue, Stored(std::to_string(i)));
    }
  }

  // Polls until the messages from `first` to before `end` came, in this order.
  static void ExpectMessages(PullConsumer& consumer, int first, int end) {
    while (first < end) {
      const absl::StatusOr<MessageBatch> batch = consumer.Poll(kPatience);
      ASSERT_TRUE(batch.ok()) << batch.status();
      ASSERT_FALSE(batch->empty());
      for (const MessageView& message : *batch) {
        ASSERT_EQ(message.body(), std::to_string(first));
        ASSERT_EQ(message.offset(), static_cast<uint64_t>(first));
        ++first;
      }
      ASSERT_EQ(batch->next_offset(), static_cast<uint64_t>(first));
    }
    ASSERT_EQ(first, end);
  }

  FakeBroker broker_;
};

TEST_F(PullConsumerTest, AQueueIsReadFromItsBeginningAndOn) {
  Store(0, 1000);
  PullConsumer consumer = MakeConsumer();
  const auto bounds = consumer.Assign("t", 0, StartAt::First());
  ASSERT_TRUE(bounds.ok()) << bounds.status();
  EXPECT_EQ(bounds->start_offset, 0u);
  EXPECT_EQ(bounds->max_offset, 1000u);
  EXPECT_EQ(bounds->queues, 2u);
  ExpectMessages(consumer, 0, 1000);
  Store(1000, 10);
  ExpectMessages(consumer, 1000, 1010);
  const auto nothing = consumer.Poll(std::chrono::milliseconds(0));
  ASSERT_TRUE(nothing.ok());
  EXPECT_TRUE(nothing->empty());
}

TEST_F(PullConsumerTest, WhatAFilterPassesOverMovesThePosition) {
  Store(0, 10);
  broker_.PassOver("t", 0, 10);
  PullConsumer consumer = MakeConsumer();
  EXPECT_FALSE(consumer.Position("t", 0).ok());
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::Offset(2), Filter::Sql("price > 5")).ok());
  EXPECT_EQ(*consumer.Position("t", 0), 2u);
  for (int i = 0; i < 100 && *consumer.Position("t", 0) != 10; ++i) {
    const auto nothing = consumer.Poll(std::chrono::milliseconds(100));
    ASSERT_TRUE(nothing.ok() && nothing->empty());
  }
  EXPECT_EQ(*consumer.Position("t", 0), 10u);
  const v2::FilterExpression filter = broker_.seen().attaches.at(0).filter();
  EXPECT_EQ(filter.type(), v2::SQL);
  EXPECT_EQ(filter.expression(), "price > 5");
  // Reading goes on there when the connection broke.
  broker_.BreakStreams();
  ASSERT_TRUE(
      broker_.Await([](const FakeBroker::Seen& seen) { return seen.attaches.size() == 2; }));
  EXPECT_EQ(broker_.seen().attaches.at(1).offset().queue_offset(), 10u);
  Store(10, 5);
  ExpectMessages(consumer, 10, 15);
  EXPECT_EQ(*consumer.Position("t", 0), 15u);
}

TEST_F(PullConsumerTest, AMessageKeptOutlivesItsBatchAndTheConsumer) {
  v2::Message stored = Stored("body");
  stored.mutable_system_properties()->set_tag("tag");
  stored.mutable_system_properties()->add_keys("k1");
  stored.mutable_system_properties()->add_keys("k2");
  (*stored.mutable_user_properties())["name"] = "value";
  broker_.Store("t", 1, stored);
  std::optional<ReceivedMessage> kept;
  {
    PullConsumer consumer = MakeConsumer();
    ASSERT_TRUE(consumer.AssignAll("t", StartAt::First()).ok());
    const auto batch = consumer.Poll(kPatience);
    ASSERT_TRUE(batch.ok() && !batch->empty());
    EXPECT_EQ(batch->queue(), 1u);
    kept = batch->Keep(*batch->begin());
  }
  EXPECT_EQ(kept->topic(), "t");
  EXPECT_EQ(kept->queue(), 1u);
  EXPECT_EQ(kept->body(), "body");
  EXPECT_EQ(kept->tag(), "tag");
  EXPECT_EQ(kept->keys(), (std::vector<std::string_view>{"k1", "k2"}));
  EXPECT_EQ(kept->property("name"), "value");
  EXPECT_EQ(kept->property("other"), std::nullopt);
  EXPECT_EQ(kept->attempt(), 1u);
  EXPECT_EQ(kept->message_id(), "00000001000000010000000000000000");
  EXPECT_EQ(kept->store_time().time_since_epoch().count(), 1'700'000'000'000);
}

TEST_F(PullConsumerTest, CompressedBodiesComePlain) {
  ProducerOptions options;
  options.compress_from_bytes = 100;
  auto producer = Connect().MakeProducer(options);
  Message message;
  message.topic = "t";
  message.body = std::string(10'000, 'z');
  ASSERT_TRUE(producer->Send(message).ok());
  message.body = "short";
  ASSERT_TRUE(producer->Send(message).ok());
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.AssignAll("t", StartAt::First()).ok());
  size_t bytes = 0;
  for (int left = 2; left > 0;) {
    const auto batch = consumer.Poll(kPatience);
    ASSERT_TRUE(batch.ok() && !batch->empty());
    for (const MessageView& received : *batch) {
      bytes += received.body().size();
      --left;
    }
  }
  EXPECT_EQ(bytes, 10'005u);
}

TEST_F(PullConsumerTest, BreaksInTheMiddleNeitherLoseNorRepeat) {
  Store(0, 3000);
  PullConsumerOptions options;
  options.max_buffered_bytes = 64 << 10;
  PullConsumer consumer = MakeConsumer(options);
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  int next = 0;
  int breaks = 0;
  while (next < 3000) {
    const auto batch = consumer.Poll(kPatience);
    ASSERT_TRUE(batch.ok()) << batch.status();
    for (const MessageView& message : *batch) ASSERT_EQ(message.body(), std::to_string(next++));
    if (next > 600 * (breaks + 1) && breaks < 3) {
      ++breaks;
      broker_.BreakStreams();
    }
  }
  EXPECT_EQ(breaks, 3);
}

TEST_F(PullConsumerTest, ADamagedRecordIsAskedForAgain) {
  Store(0, 100);
  broker_.Corrupt(1);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 100);
}

TEST_F(PullConsumerTest, ARecordThatStaysDamagedIsReportedAndPassedOver) {
  Store(0, 1);
  broker_.Corrupt(2);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  const auto damaged = consumer.Poll(kPatience);
  EXPECT_TRUE(absl::IsDataLoss(damaged.status())) << damaged.status();
  Store(1, 1);
  ExpectMessages(consumer, 1, 2);
}

TEST_F(PullConsumerTest, NoMoreIsSentThanThereIsRoomFor) {
  Store(0, 20'000);
  PullConsumerOptions options;
  options.max_buffered_bytes = 64 << 10;
  PullConsumer consumer = MakeConsumer(options);
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 20'000);
  EXPECT_LE(broker_.seen().most_credit, 64u << 10);
  EXPECT_GT(broker_.seen().credit_returned, 1'000'000u);
}

TEST_F(PullConsumerTest, SeekLeavesNothingOfTheOldPlace) {
  Store(0, 1000);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ASSERT_FALSE(consumer.Poll(kPatience)->empty());
  ASSERT_TRUE(consumer.Seek("t", 0, StartAt::Offset(700)).ok());
  ExpectMessages(consumer, 700, 1000);
  ASSERT_TRUE(consumer.Seek("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 1000);
}

TEST_F(PullConsumerTest, CommitsArriveBeforeTheEnd) {
  Store(0, 10);
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::Committed()).ok());
  ExpectMessages(consumer, 0, 10);
  ASSERT_TRUE(consumer.Commit("t", 0, 7).ok());
  ASSERT_TRUE(consumer.Commit("t", 0, 10).ok());
  EXPECT_TRUE(absl::IsNotFound(consumer.Commit("t", 1, 1)));
  consumer.Close();
  EXPECT_EQ(broker_.seen().commits.at(0), 10u);
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer.Poll(kPatience).status()));
}

TEST_F(PullConsumerTest, WhatRetentionTookIsSkippedOrReported) {
  Store(0, 100);
  PullConsumerOptions strict;
  strict.skip_expired = false;
  PullConsumer lenient = MakeConsumer();
  PullConsumer stern = MakeConsumer(strict);
  ASSERT_TRUE(lenient.Assign("t", 0, StartAt::Last()).ok());
  ASSERT_TRUE(stern.Assign("t", 0, StartAt::Last()).ok());
  broker_.SetOffsetMinimum("t", 0, 60);
  broker_.DetachAll(v2::ILLEGAL_OFFSET);
  ExpectMessages(lenient, 60, 100);
  EXPECT_TRUE(absl::IsOutOfRange(stern.Poll(kPatience).status()));
  EXPECT_TRUE(absl::IsNotFound(stern.Unassign("t", 0)));
}

TEST_F(PullConsumerTest, WhoReadsAllQueuesReadsNewOnesToo) {
  Store(0, 1);
  PullConsumer consumer = MakeConsumer();
  ASSERT_EQ(*consumer.AssignAll("t", StartAt::Last()), 2u);
  broker_.AddQueues("t", 2);
  Store(0, 10, 3);  // from the first on
  ExpectMessages(consumer, 0, 10);
  EXPECT_EQ(broker_.seen().attaches.size(), 4u);
  EXPECT_TRUE(absl::IsAlreadyExists(consumer.Assign("t", 2, StartAt::First()).status()));
  for (uint32_t queue = 0; queue < 4; ++queue) EXPECT_TRUE(consumer.Unassign("t", queue).ok());
  EXPECT_TRUE(broker_.Await([](const FakeBroker::Seen& seen) { return seen.watched.empty(); }));
}

TEST_F(PullConsumerTest, AllQueuesAreAssignedOrNone) {
  broker_.AddQueues("t", 98);
  broker_.SetOffsetMinimum("t", 70, 5);
  PullConsumer consumer = MakeConsumer();
  EXPECT_TRUE(absl::IsOutOfRange(consumer.AssignAll("t", StartAt::Offset(0)).status()));
  EXPECT_TRUE(absl::IsNotFound(consumer.Unassign("t", 0)));
  EXPECT_TRUE(absl::IsNotFound(consumer.Unassign("t", 99)));
  // What was assigned before stays.
  ASSERT_TRUE(consumer.Assign("t", 90, StartAt::First()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(consumer.AssignAll("t", StartAt::Offset(0)).status()));
  EXPECT_TRUE(consumer.Unassign("t", 90).ok());
  broker_.SetOffsetMinimum("t", 70, 0);
  EXPECT_EQ(*consumer.AssignAll("t", StartAt::Offset(0)), 100u);
  EXPECT_TRUE(consumer.Unassign("t", 99).ok());
}

TEST_F(PullConsumerTest, AQueueWithoutRoomAtTheBrokerIsReadOn) {
  Store(0, 5);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 5);
  broker_.DetachAll(v2::TOO_MANY_REQUESTS);
  ASSERT_TRUE(
      broker_.Await([](const FakeBroker::Seen& seen) { return seen.attaches.size() == 2; }));
  Store(5, 5);
  ExpectMessages(consumer, 5, 10);
}

TEST_F(PullConsumerTest, ATopicOfTheSameNameIsNotReadOn) {
  PullConsumer consumer = MakeConsumer();
  ASSERT_EQ(*consumer.AssignAll("t", StartAt::First()), 2u);
  broker_.DeleteTopic("t");
  broker_.AddTopic("t");
  broker_.AddQueues("t", 1);
  broker_.DetachAll(v2::TOPIC_NOT_FOUND);
  for (int queue = 0; queue < 2; ++queue) {
    EXPECT_TRUE(absl::IsNotFound(consumer.Poll(kPatience).status()));
  }
  EXPECT_TRUE(broker_.Await([](const FakeBroker::Seen& seen) { return seen.watched.empty(); }));
  EXPECT_EQ(broker_.seen().attaches.size(), 2u);
}

TEST_F(PullConsumerTest, ATopicMadeAnewWhileTheConnectionIsBrokenIsNotReadOn) {
  Store(0, 5);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 5);
  broker_.DeleteTopic("t");
  broker_.AddTopic("t");
  Store(0, 5);
  broker_.BreakStreams();
  EXPECT_TRUE(absl::IsNotFound(consumer.Poll(kPatience).status()));
  EXPECT_TRUE(absl::IsNotFound(consumer.Unassign("t", 0)));
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 5);
}

TEST_F(PullConsumerTest, ErrorsOfAssignSayWhatIsWrong) {
  PullConsumer consumer = MakeConsumer();
  EXPECT_TRUE(absl::IsNotFound(consumer.Assign("nowhere", 0, StartAt::First()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(consumer.Assign("t", 0, StartAt::Offset(5)).status()));
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(consumer.Assign("t", 0, StartAt::First()).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer.Commit("t", 0, 1)));
}

TEST_F(PullConsumerTest, ARejectedCallIsToldOnceAndReadingGoesOn) {
  Store(0, 10);
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  ExpectMessages(consumer, 0, 10);
  broker_.RejectAttaches(1);
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Assign("t", 1, StartAt::First()).status()));
  Store(10, 10);
  ExpectMessages(consumer, 10, 20);
  EXPECT_TRUE(consumer.Assign("t", 1, StartAt::First()).ok());
  broker_.RejectAttaches(2);
  broker_.BreakStreams();
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Poll(kPatience).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Poll(kPatience).status()));
  Store(20, 10);
  ExpectMessages(consumer, 20, 30);
}

TEST_F(PullConsumerTest, ACommitBehindTheEndIsRefusedAtOnce) {
  Store(0, 10);
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  EXPECT_TRUE(consumer.Commit("t", 0, 10).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(consumer.Commit("t", 0, 11)));
  ExpectMessages(consumer, 0, 10);
  Store(10, 1);
  ExpectMessages(consumer, 10, 11);
  EXPECT_TRUE(consumer.Commit("t", 0, 11).ok());
}

TEST_F(PullConsumerTest, ADeletedTopicIsReportedOnce) {
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  broker_.DetachAll(v2::TOPIC_NOT_FOUND);
  EXPECT_TRUE(absl::IsNotFound(consumer.Poll(kPatience).status()));
  const auto nothing = consumer.Poll(std::chrono::milliseconds(0));
  EXPECT_TRUE(nothing.ok() && nothing->empty());
}

TEST_F(PullConsumerTest, ClosingEndsAPoll) {
  PullConsumer consumer = MakeConsumer();
  ASSERT_TRUE(consumer.Assign("t", 0, StartAt::First()).ok());
  std::thread closer([&] { consumer.Close(); });
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer.Poll(kPatience).status()));
  closer.join();
}

}  // namespace
}  // namespace dunlin
