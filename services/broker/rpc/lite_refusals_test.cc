// What is refused of lightweight topics, with which code and which way out.

#include <functional>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/lite_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

using ::testing::HasSubstr;
using Stub = v2::MessagingService::Stub;

TEST_F(LiteTest, SubscriptionsAreRefusedPrecisely) {
  const v2::Status unknown = Sync(v2::PARTIAL_ADD, {"s1"}, "client", "nobody");
  EXPECT_EQ(unknown.code(), v2::ILLEGAL_CONSUMER_GROUP);
  EXPECT_THAT(unknown.message(), HasSubstr("dunlinctl group create nobody --lite-bind-topic"));
  ASSERT_TRUE(CreateGroup("plain", "", admin::v1::LITE_MODEL_UNSPECIFIED).ok());
  const v2::Status unbound = Sync(v2::PARTIAL_ADD, {"s1"}, "client", "plain");
  EXPECT_EQ(unbound.code(), v2::ILLEGAL_CONSUMER_GROUP);
  EXPECT_THAT(unbound.message(), HasSubstr("dunlinctl group update plain --lite-bind-topic"));
  CreateTopic("other", 0);
  ASSERT_TRUE(CreateGroup("others", "other", admin::v1::LITE_SHARED).ok());
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "client", "others").code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "client", "agents",
                 [](v2::SyncLiteSubscriptionRequest& request) {
                   request.mutable_topic()->set_name("no-such-topic");
                 })
                .code(),
            v2::TOPIC_NOT_FOUND);
  Send("normal", "x");
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "client", "agents",
                 [](v2::SyncLiteSubscriptionRequest& request) {
                   request.mutable_topic()->set_name("normal");
                 })
                .code(),
            v2::ILLEGAL_TOPIC);
  for (const std::string& name :
       std::vector<std::string>{"", "  ", "a$b", "a@b", std::string(65, 'x')}) {
    EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"fine", name}).code(), v2::ILLEGAL_LITE_TOPIC) << name;
    EXPECT_EQ(Sync(v2::PARTIAL_REMOVE, {name}).code(), v2::OK) << name;
  }
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "").code(), v2::CLIENT_ID_REQUIRED);
  EXPECT_EQ(Sync(static_cast<v2::LiteSubscriptionAction>(9), {"s1"}).code(), v2::BAD_REQUEST);
}

TEST_F(LiteTest, ReceivesAreRefusedPrecisely) {
  const auto receive = [&](const std::string& topic, const std::string& group,
                           const std::string& filter = "*") {
    v2::ReceiveMessageRequest request = ReceiveRequest(topic, group);
    request.mutable_filter_expression()->set_expression(filter);
    return Receive(request).status.code();
  };
  EXPECT_EQ(receive("sessions", "agents"), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(receive("sessions", "nobody"), v2::ILLEGAL_CONSUMER_GROUP);
  // It was not made by the way.
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "client", "nobody").code(), v2::ILLEGAL_CONSUMER_GROUP);
  Send("normal", "x");
  EXPECT_EQ(receive("normal", "agents"), v2::ILLEGAL_CONSUMER_GROUP);
  EXPECT_EQ(receive("sessions", "agents", "tag"), v2::ILLEGAL_FILTER_EXPRESSION);
  CreateTopic("other", 0);
  EXPECT_EQ(receive("other", "agents"), v2::ILLEGAL_TOPIC);
}

TEST_F(LiteTest, SendsAreRefusedPrecisely) {
  EXPECT_EQ(Send("sessions", "plain").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  Send("normal", "x");
  v2::SendMessageRequest request;
  AddLite(request, "s1", "x", "normal");
  EXPECT_EQ(Call(&Stub::SendMessage, request).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(SendLite("a/b", {"x"}).status().code(), v2::ILLEGAL_LITE_TOPIC);
  // All or nothing: the first of the two is not made.
  request.Clear();
  AddLite(request, "fine", "x");
  AddMessage(request, "sessions", "y");
  EXPECT_EQ(Call(&Stub::SendMessage, request).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_FALSE(Exists("fine"));
}

TEST_F(LiteTest, DeadLettersAreSentToNoLightweightTopic) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("s1", {"bad"});
  Bury("s1", Take().at(0));
  EXPECT_EQ(Send("%DLQ%agents", "plain").status().code(), v2::OK);
  v2::SendMessageRequest request;
  AddLite(request, "s1", "x", "%DLQ%agents");
  EXPECT_EQ(Call(&Stub::SendMessage, request).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(LiteTest, StreamsSayWhatToUseInstead) {
  const auto streams = v1::StreamService::NewStub(server_->InProcessChannel({}));
  Publisher publisher(*streams, 7, Context());
  const v2::Status bound = publisher.Bind(1, "sessions", 0).status();
  EXPECT_EQ(bound.code(), v2::NOT_IMPLEMENTED);
  EXPECT_THAT(bound.message(), HasSubstr("SendMessage of apache.rocketmq.v2"));
  EXPECT_THAT(bound.message(), HasSubstr("LiteProducer"));
  Subscriber subscriber(*streams, "agents", Context());
  for (const v2::Status& attached : {subscriber.AttachGroup("sessions").status(),
                                     subscriber.AttachAt("sessions", 0, 0).status()}) {
    EXPECT_EQ(attached.code(), v2::NOT_IMPLEMENTED);
    EXPECT_THAT(attached.message(), HasSubstr("SyncLiteSubscription and ReceiveMessage"));
    EXPECT_THAT(attached.message(), HasSubstr("LitePushConsumer or LiteSimpleConsumer"));
  }
}

TEST_F(LiteTest, AGroupIsMovedInOneLightweightTopicAtATime) {
  SendLite("s1", {"x"});
  admin::v1::SkipMessagesRequest skip;
  skip.set_group("agents");
  skip.set_topic("sessions");
  admin::v1::SkipMessagesResponse skipped;
  grpc::Status status = AskAdmin(&admin::v1::AdminService::Stub::SkipMessages, skip, skipped);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("reset-offset agents --topic sessions --lite-topic NAME"));
  ASSERT_TRUE(CreateGroup("copy", "sessions", admin::v1::LITE_SHARED).ok());
  admin::v1::CloneOffsetsRequest clone;
  clone.set_from_group("agents");
  clone.set_to_group("copy");
  clone.set_topic("sessions");
  admin::v1::CloneOffsetsResponse cloned;
  status = AskAdmin(&admin::v1::AdminService::Stub::CloneOffsets, clone, cloned);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("reset-offset copy --topic sessions --lite-topic NAME"));
  clone.clear_topic();
  status = AskAdmin(&admin::v1::AdminService::Stub::CloneOffsets, clone, cloned);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("reset-offset copy --topic sessions"));
}

TEST_F(LiteTest, OnlyABoundGroupIsMovedInALightweightTopicThatIsNamed) {
  SendLite("s1", {"x"});
  ASSERT_TRUE(CreateGroup("plain", "", admin::v1::LITE_MODEL_UNSPECIFIED).ok());
  const auto reset = [&](const std::string& group, const std::string& lite_topic) {
    admin::v1::ResetOffsetRequest request;
    request.set_group(group);
    request.set_topic("sessions");
    request.set_lite_topic(lite_topic);
    request.set_first(true);
    admin::v1::ResetOffsetResponse response;
    return AskAdmin(&admin::v1::AdminService::Stub::ResetOffset, request, response);
  };
  EXPECT_TRUE(reset("agents", "s1").ok());
  grpc::Status status = reset("plain", "s1");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("dunlinctl group update plain --lite-bind-topic"));
  status = reset("agents", "");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("reset-offset agents --topic sessions"));
}

class LiteQuotaTest : public LiteTest {
 protected:
  LiteQuotaTest() {
    StopAll();
    config_.mutable_broker()->set_max_lite_topics(2);
    config_.mutable_broker()->set_lite_subscription_quota(3);
    Start();
  }
};

TEST_F(LiteQuotaTest, TooManyLightweightTopics) {
  EXPECT_EQ(SendLite("s1", {"x"}).status().code(), v2::OK);
  EXPECT_EQ(SendLite("s2", {"x"}).status().code(), v2::OK);
  const v2::SendMessageResponse refused = SendLite("s3", {"x"});
  EXPECT_EQ(refused.status().code(), v2::LITE_TOPIC_QUOTA_EXCEEDED);
  EXPECT_THAT(refused.status().message(), HasSubstr("broker.max_lite_topics"));
  EXPECT_EQ(SendLite("s1", {"y"}).status().code(), v2::OK);
}

TEST_F(LiteQuotaTest, TooManySubscriptions) {
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2", "s3"}).code(), v2::OK);
  const v2::Status refused = Sync(v2::PARTIAL_ADD, {"s4"});
  EXPECT_EQ(refused.code(), v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
  EXPECT_THAT(refused.message(), HasSubstr("at most 3"));
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  EXPECT_EQ(Sync(v2::PARTIAL_REMOVE, {"s1", "none"}).code(), v2::OK);
  EXPECT_EQ(Sync(v2::PARTIAL_ADD, {"s4"}).code(), v2::OK);
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"1", "2", "3", "4"}).code(),
            v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
  EXPECT_EQ(Sync(v2::COMPLETE_REMOVE, {}).code(), v2::OK);
}

TEST_F(LiteTest, TopicsAndGroupsOfThisKindAreCheckedWhenTheyAreMade) {
  const auto create = [&](const std::function<void(admin::v1::Topic&)>& change) {
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_topic()->add_kinds(admin::v1::LITE);
    change(*request.mutable_topic());
    admin::v1::Topic topic;
    return AskAdmin(&admin::v1::AdminService::Stub::CreateTopic, request, topic).error_code();
  };
  EXPECT_EQ(create([](auto& topic) { topic.add_kinds(admin::v1::NORMAL); }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create([](auto& topic) { topic.set_queues(2); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create([](auto& topic) { topic.set_lite_expiration_minutes(43'201); }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create([](auto& topic) {
              topic.clear_kinds();
              topic.set_lite_expiration_minutes(1);
            }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create([](auto& topic) { topic.mutable_retention()->set_consumed(true); }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(create([](auto& topic) { topic.set_compacted(true); }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(CreateGroup("g", "no-topic", admin::v1::LITE_SHARED).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(CreateGroup("g", "", admin::v1::LITE_EXCLUSIVE).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  CreateTopic("other", 0);
  admin::v1::UpdateGroupRequest rebind;
  rebind.mutable_group()->set_name("agents");
  rebind.mutable_group()->set_lite_bind_topic("other");
  admin::v1::Group group;
  const grpc::Status status = AskAdmin(&admin::v1::AdminService::Stub::UpdateGroup, rebind, group);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("for good"));
  admin::v1::UpdateTopicRequest normal;
  normal.mutable_topic()->set_name("sessions");
  normal.mutable_topic()->add_kinds(admin::v1::NORMAL);
  admin::v1::Topic topic;
  EXPECT_EQ(AskAdmin(&admin::v1::AdminService::Stub::UpdateTopic, normal, topic).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace dunlin::broker
