#include "operator/planner/declared.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

#include <string>
#include <utility>

#include "operator/k8s/object.h"
#include "operator/k8s/yaml_json.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using google::protobuf::util::MessageDifferencer;
using google::protobuf::util::TimeUtil;
using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One of those that CRDs are tested with, as the API server would give it back.
Json Valid(const std::string& name) {
  const auto text = ReadWholeFile(RealFiles(), "operator/crds/testdata/valid.yaml");
  EXPECT_OK(text);
  const auto documents = k8s::ParseYamlDocuments(*text, "valid.yaml");
  EXPECT_OK(documents);
  for (Json document : *documents) {
    if (k8s::KeyOf(document).name != name) continue;
    document["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z";
    return document;
  }
  ADD_FAILURE() << name << " is not there";
  return {};
}

TEST(DeclaredTest, EveryFieldOfATopic) {
  const auto topic = TopicOf(Valid("orders.full"));
  ASSERT_OK(topic);
  EXPECT_EQ(topic->namespace_(), "shop");
  EXPECT_EQ(topic->name(), "ORDERS_full");
  EXPECT_EQ(topic->queues(), 16U);
  EXPECT_THAT(topic->kinds(), ElementsAre(admin::v1::NORMAL, admin::v1::FIFO, admin::v1::DELAY,
                                          admin::v1::TRANSACTION));
  EXPECT_EQ(topic->permission(), admin::v1::READ_WRITE);
  EXPECT_EQ(topic->description(), "all that is ordered");
  EXPECT_EQ(topic->send_rate().messages_per_second(), 1000U);
  EXPECT_EQ(topic->send_rate().bytes_per_second(), 0U);
  EXPECT_EQ(topic->retention().max_age_ms(), 72 * 3'600'000);
  EXPECT_EQ(topic->retention().max_queue_bytes(), uint64_t{10} << 30);
  EXPECT_TRUE(topic->retention().consumed());
  EXPECT_FALSE(topic->compacted());
}

TEST(DeclaredTest, ATopicOfDefaultsHasNoLimits) {
  const auto topic = TopicOf(Valid("orders"));
  ASSERT_OK(topic);
  EXPECT_EQ(topic->name(), "orders");
  EXPECT_EQ(topic->queues(), 8U);
  // Said, since a field that is unset would keep its value.
  EXPECT_TRUE(topic->send_rate().has_messages_per_second());
  EXPECT_TRUE(topic->retention().has_max_age_ms());
  EXPECT_TRUE(topic->retention().has_max_queue_bytes());
  EXPECT_TRUE(topic->has_compacted());
}

TEST(DeclaredTest, LightweightTopicsHaveNoQueuesToChoose) {
  const auto topic = TopicOf(Valid("sessions"));
  ASSERT_OK(topic);
  EXPECT_EQ(topic->queues(), 0U);
  EXPECT_EQ(topic->lite_expiration_minutes(), 30U);
  admin::v1::Topic there = *topic;
  there.set_queues(1);
  EXPECT_THAT(DifferencesOf(*topic, there), IsEmpty());
}

TEST(DeclaredTest, WhatNoBrokerCanKeepNamesTheField) {
  Json resource = Valid("orders.full");
  resource["spec"]["retention"]["maxQueueBytes"] = "16Ei";
  EXPECT_THAT(TopicOf(resource), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("spec.retention.maxQueueBytes: '16Ei'")));
}

TEST(DeclaredTest, EveryFieldOfAConsumerGroup) {
  const auto group = ConsumerGroupOf(Valid("billing.full"));
  ASSERT_OK(group);
  EXPECT_EQ(group->namespace_(), "shop");
  EXPECT_EQ(group->name(), "GID_billing");
  EXPECT_EQ(group->max_attempts(), 5U);
  EXPECT_THAT(group->retry_delays_ms(), ElementsAre(1000, 5000, 60'000, 5'400'000));
  EXPECT_EQ(group->delivery_order(), admin::v1::IN_ORDER);
  EXPECT_EQ(TimeUtil::ToString(group->start().time()), "2026-11-20T22:00:00Z");
  EXPECT_TRUE(group->paused());
  EXPECT_EQ(group->priority_factor(), 80U);
  EXPECT_EQ(group->max_in_flight(), 1000U);
  EXPECT_EQ(group->description(), "writes bills");
  EXPECT_EQ(group->rate().bytes_per_second(), 1'000'000U);
  EXPECT_EQ(group->rate().messages_per_second(), 0U);

  const auto lite = ConsumerGroupOf(Valid("watchers"));
  ASSERT_OK(lite);
  EXPECT_EQ(lite->exponential().initial_ms(), 1000);
  EXPECT_EQ(lite->exponential().max_ms(), 600'000);
  EXPECT_EQ(lite->exponential().multiplier(), 1.5);
  EXPECT_EQ(lite->lite_bind_topic(), "sessions");
  EXPECT_EQ(lite->lite_model(), admin::v1::LITE_EXCLUSIVE);
}

// The same moment at every broker, and at those that come later.
TEST(DeclaredTest, LastIsWhenTheResourceWasMade) {
  Json resource = Valid("billing");
  resource["spec"]["start"]["from"] = "Last";
  const auto group = ConsumerGroupOf(resource);
  ASSERT_OK(group);
  EXPECT_EQ(TimeUtil::ToString(group->start().time()), "2026-01-02T03:04:05Z");
}

TEST(DeclaredTest, WhatIsNotDeclaredIsTheBrokers) {
  const auto group = ConsumerGroupOf(Valid("billing"));
  ASSERT_OK(group);
  admin::v1::Group there = *group;
  there.set_max_attempts(17);
  there.add_retry_delays_ms(1000);
  there.set_description("somebody's");
  EXPECT_THAT(DifferencesOf(*group, there), IsEmpty());
  // Set, even to nothing, it would be a change.
  EXPECT_FALSE(group->has_description());
}

TEST(DeclaredTest, EachDifferenceIsTold) {
  const auto wanted = TopicOf(Valid("orders.full"));
  ASSERT_OK(wanted);
  EXPECT_THAT(DifferencesOf(*wanted, *wanted), IsEmpty());
  admin::v1::Topic there = *wanted;
  there.set_queues(4);
  there.set_permission(admin::v1::READ);
  there.mutable_kinds()->RemoveLast();
  there.mutable_retention()->set_consumed(false);
  there.mutable_send_rate()->set_messages_per_second(1);
  EXPECT_THAT(DifferencesOf(*wanted, there),
              ElementsAre("kinds: NORMAL FIFO DELAY, to be NORMAL FIFO DELAY TRANSACTION",
                          "queues: 4, to be 16", "permission: READ, to be READ_WRITE",
                          "sendRate.messagesPerSecond: 1, to be 1000",
                          "retention.consumed: false, to be true"));
}

TEST(DeclaredTest, EachDifferenceOfAConsumerGroupIsTold) {
  const auto wanted = ConsumerGroupOf(Valid("billing.full"));
  ASSERT_OK(wanted);
  EXPECT_THAT(DifferencesOf(*wanted, *wanted), IsEmpty());
  admin::v1::Group there = *wanted;
  there.set_max_attempts(6);
  there.clear_retry_delays_ms();
  there.mutable_exponential()->set_initial_ms(1);
  there.mutable_exponential()->set_max_ms(2);
  there.mutable_exponential()->set_multiplier(3);
  there.set_delivery_order(admin::v1::CONCURRENT);
  there.mutable_start()->set_first(true);
  there.set_paused(false);
  EXPECT_THAT(DifferencesOf(*wanted, there),
              ElementsAre("maxAttempts: 6, to be 5",
                          "retry: 1 ms to 2 ms times 3, to be 1000 5000 60000 5400000 ms",
                          "deliveryOrder: CONCURRENT, to be IN_ORDER",
                          "start: First, to be 2026-11-20T22:00:00Z", "paused: false, to be true"));
}

// No field is forgotten in either place: whatever a broker has otherwise is a difference.
TEST(DeclaredTest, NoFieldIsForgotten) {
  const auto wanted = TopicOf(Valid("orders.full"));
  ASSERT_OK(wanted);
  admin::v1::Topic there;
  there.set_compacted(true);
  EXPECT_THAT(DifferencesOf(*wanted, there), SizeIs(9));
  EXPECT_FALSE(MessageDifferencer::Equals(*wanted, there));
}

}  // namespace
}  // namespace dunlin::op
