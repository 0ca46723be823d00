// What clients are told on their Telemetry stream about how to behave.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>

#include "services/broker/rpc/testing/groups_fixture.h"

namespace dunlin::broker {
namespace {

class SettingsTest : public GroupsTest {
 protected:
  // What the broker answers to `sent`, on a stream of its own; a header only for a language.
  v2::Settings Tell(const v2::Settings& sent, const std::string& language = "JAVA") {
    const auto context = Context();
    if (!language.empty()) context->AddMetadata("x-mq-language", language);
    const auto stream = stub_->Telemetry(context.get());
    v2::TelemetryCommand command;
    *command.mutable_settings() = sent;
    EXPECT_TRUE(stream->Write(command));
    v2::TelemetryCommand answer;
    EXPECT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.status().code(), v2::OK);
    stream->WritesDone();
    while (stream->Read(&command)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
    return answer.settings();
  }

  static v2::Settings Consumer(const std::string& group, v2::ClientType type = v2::PUSH_CONSUMER) {
    v2::Settings settings;
    settings.set_client_type(type);
    settings.mutable_subscription()->mutable_group()->set_name(group);
    return settings;
  }
  // What all clients say.
  static void Introduce(v2::Settings& settings) {
    settings.mutable_access_point()->set_scheme(v2::DOMAIN_NAME);
    settings.mutable_access_point()->add_addresses()->set_host("behind.nat");
    settings.mutable_access_point()->mutable_addresses(0)->set_port(30'081);
    settings.mutable_request_timeout()->set_seconds(3);
    settings.mutable_request_timeout()->set_nanos(500'000'000);
    settings.mutable_user_agent()->set_language(v2::JAVA);
    settings.mutable_user_agent()->set_version("5.0.8");
    settings.mutable_user_agent()->set_hostname("host");
    (*settings.mutable_client_properties())["team"] = "red";
  }
};

TEST_F(SettingsTest, AProducerGetsBackWhatItSaidAndHowToSend) {
  v2::Settings sent;
  Introduce(sent);
  sent.set_client_type(v2::PRODUCER);
  sent.mutable_backoff_policy()->set_max_attempts(7);
  v2::Resource& topic = *sent.mutable_publishing()->add_topics();
  topic.set_resource_namespace("tenant");
  topic.set_name("topic");
  v2::Settings answer = Tell(sent);
  EXPECT_EQ(answer.backoff_policy().max_attempts(), 3);
  const v2::ExponentialBackoff& backoff = answer.backoff_policy().exponential_backoff();
  EXPECT_EQ(backoff.initial().nanos(), 10'000'000);
  EXPECT_EQ(backoff.max().seconds(), 1);
  EXPECT_FLOAT_EQ(backoff.multiplier(), 2);
  EXPECT_TRUE(answer.publishing().validate_message_type());
  EXPECT_EQ(answer.publishing().max_body_size(), 4 << 20);
  EXPECT_TRUE(answer.has_metric());
  EXPECT_FALSE(answer.metric().on());
  answer.clear_metric();
  answer.mutable_publishing()->clear_max_body_size();
  answer.mutable_publishing()->clear_validate_message_type();
  *answer.mutable_backoff_policy() = sent.backoff_policy();
  EXPECT_EQ(answer.ShortDebugString(), sent.ShortDebugString());
}

TEST_F(SettingsTest, AConsumerGetsBackWhatItSaidAndHowToReceive) {
  v2::Settings sent = Consumer("group");
  Introduce(sent);
  sent.mutable_subscription()->mutable_group()->set_resource_namespace("tenant");
  v2::SubscriptionEntry& entry = *sent.mutable_subscription()->add_subscriptions();
  entry.mutable_topic()->set_resource_namespace("tenant");
  entry.mutable_topic()->set_name("topic");
  entry.mutable_expression()->set_type(v2::TAG);
  entry.mutable_expression()->set_expression("a || b");
  v2::Settings answer = Tell(sent);
  EXPECT_FALSE(answer.subscription().fifo());
  EXPECT_EQ(answer.subscription().receive_batch_size(), 32);
  EXPECT_EQ(answer.subscription().long_polling_timeout().seconds(), 20);
  EXPECT_EQ(answer.subscription().long_polling_timeout().nanos(), 0);
  EXPECT_TRUE(answer.has_metric());
  EXPECT_FALSE(answer.metric().on());
  answer.clear_metric();
  answer.clear_backoff_policy();
  answer.mutable_subscription()->clear_fifo();
  answer.mutable_subscription()->clear_receive_batch_size();
  answer.mutable_subscription()->clear_long_polling_timeout();
  EXPECT_EQ(answer.ShortDebugString(), sent.ShortDebugString());
}

TEST_F(SettingsTest, AnOrderedGroupIsToldSo) {
  admin::v1::Group group = Named("ordered");
  group.set_delivery_order(admin::v1::IN_ORDER);
  Create(group);
  EXPECT_TRUE(Tell(Consumer("ordered")).subscription().fifo());
}

TEST_F(SettingsTest, DelaysAreThoseOfTheGroupInWholeSeconds) {
  admin::v1::Group group = Named("list");
  group.set_max_attempts(5);
  for (int64_t delay : {2500, 4000, 60'000}) group.add_retry_delays_ms(delay);
  Create(group);
  const v2::RetryPolicy list = Tell(Consumer("list")).backoff_policy();
  EXPECT_EQ(list.max_attempts(), 5);
  ASSERT_EQ(list.customized_backoff().next_size(), 3);
  EXPECT_EQ(list.customized_backoff().next(0).seconds(), 3);
  EXPECT_EQ(list.customized_backoff().next(0).nanos(), 0);
  EXPECT_EQ(list.customized_backoff().next(1).seconds(), 4);
  EXPECT_EQ(list.customized_backoff().next(2).seconds(), 60);

  group = Named("exponential");
  group.mutable_exponential()->set_initial_ms(2500);
  group.mutable_exponential()->set_max_ms(60'000);
  group.mutable_exponential()->set_multiplier(3);
  Create(group);
  const v2::RetryPolicy exponential = Tell(Consumer("exponential")).backoff_policy();
  EXPECT_EQ(exponential.max_attempts(), 17);
  EXPECT_EQ(exponential.exponential_backoff().initial().seconds(), 3);
  EXPECT_EQ(exponential.exponential_backoff().initial().nanos(), 0);
  EXPECT_EQ(exponential.exponential_backoff().max().seconds(), 60);
  EXPECT_FLOAT_EQ(exponential.exponential_backoff().multiplier(), 3);
}

TEST_F(SettingsTest, NodeJsGetsTheEndsOfAList) {
  admin::v1::Group group = Named("list");
  for (int64_t delay : {2500, 4000, 60'000}) group.add_retry_delays_ms(delay);
  Create(group);
  const v2::RetryPolicy policy = Tell(Consumer("list"), "HTTP").backoff_policy();
  EXPECT_EQ(policy.max_attempts(), 17);
  ASSERT_TRUE(policy.has_exponential_backoff());
  EXPECT_EQ(policy.exponential_backoff().initial().seconds(), 3);
  EXPECT_EQ(policy.exponential_backoff().max().seconds(), 60);
}

TEST_F(SettingsTest, AnyLanguageIsServed) {
  CreateTopic("t", 1);
  for (const char* language : {"DOTNET", "RUST", "COBOL", ""}) {
    EXPECT_TRUE(Tell(Consumer("g"), language).backoff_policy().has_customized_backoff())
        << language;
    const auto context = Context();
    if (*language != '\0') context->AddMetadata("x-mq-language", language);
    v2::SendMessageRequest request;
    AddMessage(request, "t", "body");
    v2::SendMessageResponse response;
    EXPECT_TRUE(stub_->SendMessage(context.get(), request, &response).ok());
    EXPECT_EQ(response.status().code(), v2::OK) << language;
  }
}

TEST_F(SettingsTest, BothKindsOfConsumersOfLightweightTopicsGetTheirLimits) {
  for (v2::ClientType type : {v2::LITE_PUSH_CONSUMER, v2::LITE_SIMPLE_CONSUMER}) {
    const v2::Subscription subscription = Tell(Consumer("g", type)).subscription();
    EXPECT_TRUE(subscription.fifo());
    EXPECT_EQ(subscription.lite_subscription_quota(), 2000);
    EXPECT_EQ(subscription.max_lite_topic_size(), 64);
  }
}

TEST_F(SettingsTest, HeadersComeBeforeTheFirstOfThem) {
  const auto context = Context();
  const auto stream = stub_->Telemetry(context.get());
  stream->WaitForInitialMetadata();
  v2::TelemetryCommand command;
  *command.mutable_settings() = Consumer("g");
  ASSERT_TRUE(stream->Write(command));
  ASSERT_TRUE(stream->Read(&command));
  EXPECT_EQ(command.status().code(), v2::OK);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&command));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(SettingsTest, AnswersThatNobodyAskedForLeaveTheStreamOpen) {
  const auto context = Context();
  const auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand trace;
  trace.mutable_status()->set_code(v2::OK);
  trace.mutable_thread_stack_trace()->set_nonce("1");
  v2::TelemetryCommand verified;
  verified.mutable_status()->set_code(v2::FAILED_TO_CONSUME_MESSAGE);
  verified.mutable_verify_message_result()->set_nonce("2");
  ASSERT_TRUE(stream->Write(trace));
  ASSERT_TRUE(stream->Write(verified));
  v2::TelemetryCommand command;
  *command.mutable_settings() = Consumer("g");
  ASSERT_TRUE(stream->Write(command));
  ASSERT_TRUE(stream->Read(&command));
  EXPECT_EQ(command.status().code(), v2::OK);
  EXPECT_TRUE(command.has_settings());
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&command));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace dunlin::broker
