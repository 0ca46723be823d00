// Filters by tag and by SQL, through every way in which messages are read.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two tags of the same CRC-32C.
constexpr char kTag[] = "wcjifoae";
constexpr char kOtherTag[] = "ccaoacux";

class FiltersTest : public MessagingServiceTest {
 protected:
  FiltersTest() { streams_ = v1::StreamService::NewStub(server_->InProcessChannel({})); }

  static v2::FilterExpression Filter(v2::FilterType type, const std::string& expression) {
    v2::FilterExpression filter;
    filter.set_type(type);
    filter.set_expression(expression);
    return filter;
  }
  static v2::FilterExpression Sql(const std::string& expression) {
    return Filter(v2::SQL, expression);
  }

  // One after the other into queue 0 of topic t.
  void Publish(const std::vector<v2::Message>& messages) {
    Publisher publisher(*streams_, 0, Context());
    publisher.Bind(1, "t", 0);
    v1::PublishRequest request = Publisher::Frame(1, 1, {});
    for (const v2::Message& message : messages) {
      request.mutable_frame()->add_messages(message.SerializeAsString());
    }
    publisher.Write(request);
    EXPECT_EQ(publisher.Ack().count(), messages.size());
  }

  static v2::Message Message(const std::string& body,
                             const std::map<std::string, std::string>& properties = {},
                             const std::string& tag = "") {
    v2::Message message;
    message.set_body(body);
    for (const auto& [key, value] : properties) {
      (*message.mutable_user_properties())[key] = value;
    }
    message.mutable_system_properties()->set_tag(tag);
    return message;
  }

  // Prices 1 to 4, of which the even ones are green.
  void PublishPrices() {
    std::vector<v2::Message> messages;
    for (int price = 1; price <= 4; ++price) {
      const std::string text = std::to_string(price);
      messages.push_back(Message(text, {{"price", text}}, price % 2 == 0 ? "green" : ""));
    }
    Publish(messages);
  }

  // Bodies of `count` messages, and of more if more come with them.
  std::vector<std::string> ReceiveBodies(const v2::FilterExpression& filter, size_t count) {
    v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
    *request.mutable_filter_expression() = filter;
    request.mutable_long_polling_timeout()->set_seconds(5);
    std::vector<std::string> bodies;
    while (bodies.size() < count) {
      const Received received = Receive(request);
      EXPECT_EQ(received.status.code(), v2::OK) << received.status.message();
      for (const v2::Message& message : received.messages) bodies.push_back(message.body());
      if (HasFailure()) break;
    }
    return bodies;
  }

  struct Pulled {
    v2::Status status;
    std::vector<std::string> bodies;
    int64_t next = -1;
  };
  Pulled Pull(const v2::FilterExpression& filter, int64_t offset) {
    v2::PullMessageRequest request;
    request.mutable_group()->set_name("g");
    request.mutable_message_queue()->mutable_topic()->set_name("t");
    request.mutable_message_queue()->set_id(0);
    request.set_offset(offset);
    request.set_batch_size(32);
    *request.mutable_filter_expression() = filter;
    request.mutable_long_polling_timeout()->set_seconds(5);
    const auto context = Context();
    const auto stream = stub_->PullMessage(context.get(), request);
    Pulled pulled;
    for (v2::PullMessageResponse element; stream->Read(&element);) {
      if (element.has_status()) pulled.status = element.status();
      if (element.has_message()) pulled.bodies.push_back(element.message().body());
      if (element.content_case() == v2::PullMessageResponse::kNextOffset) {
        pulled.next = element.next_offset();
      }
    }
    EXPECT_TRUE(stream->Finish().ok());
    return pulled;
  }

  Subscriber Subscribe(const std::string& group = "") { return {*streams_, group, Context()}; }

  static v1::SubscribeRequest AttachOffset(const v2::FilterExpression& filter) {
    v1::SubscribeRequest request;
    request.mutable_attach()->set_binding(1);
    *request.mutable_attach()->mutable_filter() = filter;
    request.mutable_attach()->mutable_offset()->set_queue(0);
    request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::FIRST);
    return request;
  }
  static v1::SubscribeRequest AttachGroup(const v2::FilterExpression& filter) {
    v1::SubscribeRequest request;
    request.mutable_attach()->set_binding(1);
    *request.mutable_attach()->mutable_filter() = filter;
    request.mutable_attach()->mutable_group()->set_invisible_ms(30'000);
    request.mutable_attach()->mutable_group()->set_max_unsettled(100);
    return request;
  }

  // What the four ways to read say to a filter that is refused.
  std::vector<v2::Status> Refusals(const v2::FilterExpression& filter) {
    v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
    *request.mutable_filter_expression() = filter;
    std::vector<v2::Status> refusals = {Receive(request).status, Pull(filter, 0).status};
    refusals.push_back(Subscribe().Attach(AttachOffset(filter), "t").status());
    refusals.push_back(Subscribe("g").Attach(AttachGroup(filter), "t").status());
    return refusals;
  }

  std::unique_ptr<v1::StreamService::Stub> streams_;
};

TEST_F(FiltersTest, SqlSelectsWhatIsReceived) {
  PublishPrices();
  EXPECT_THAT(ReceiveBodies(Sql("price BETWEEN 2 AND 4 AND TAGS = 'green'"), 2),
              ElementsAre("2", "4"));
  // What was passed over is done; what was received comes again, and nothing else.
  clock_.Advance(std::chrono::seconds(31));
  EXPECT_THAT(ReceiveBodies(Filter(v2::TAG, "*"), 2), ElementsAre("2", "4"));
  EXPECT_TRUE(Receive("t", "g").messages.empty());
}

TEST_F(FiltersTest, SqlSelectsWhatIsPulled) {
  PublishPrices();
  AwaitIndexed("t", 4);
  const Pulled some = Pull(Sql("price IN (1, 3)"), 0);
  EXPECT_THAT(some.bodies, ElementsAre("1", "3"));
  EXPECT_EQ(some.next, 4);
  const Pulled none = Pull(Sql("price > 4"), 1);
  EXPECT_EQ(none.status.code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(none.next, 4);
}

TEST_F(FiltersTest, SqlSelectsWhatAGroupIsStreamed) {
  PublishPrices();
  Subscriber subscriber = Subscribe("g");
  EXPECT_EQ(subscriber.Attach(AttachGroup(Sql("price <> 2 AND price < 4")), "t").status().code(),
            v2::OK);
  EXPECT_THAT(subscriber.Bodies(2), ElementsAre("1", "3"));
}

TEST_F(FiltersTest, SqlSelectsWhatAQueueIsStreamed) {
  PublishPrices();
  AwaitIndexed("t", 4);
  Subscriber subscriber = Subscribe();
  EXPECT_EQ(subscriber.Attach(AttachOffset(Sql("price <= 2")), "t").status().code(), v2::OK);
  EXPECT_THAT(subscriber.Bodies(2), ElementsAre("1", "2"));
  EXPECT_EQ(subscriber.Last().frame().next_offset(), 4u);
}

TEST_F(FiltersTest, WhatIsNoExpressionIsRefusedWithItsPlace) {
  Send("t", "body");
  for (const v2::Status& status : Refusals(Sql("price >= 5 AND"))) {
    EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
    EXPECT_EQ(status.message(),
              "the SQL filter is wrong at character 15: expected a property, a number, a string, "
              "TRUE, FALSE, NULL or (, found the end");
  }
  for (const v2::Status& status : Refusals(Sql(""))) {
    EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
  }
  for (const v2::Status& status : Refusals(Sql(std::string(20'000, '(')))) {
    EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
    EXPECT_THAT(status.message(), HasSubstr("20000 bytes; at most 16384 are allowed"));
  }
  for (const v2::Status& status : Refusals(Filter(static_cast<v2::FilterType>(7), "a"))) {
    EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
    EXPECT_EQ(status.message(), "filter type 7 is unknown; use TAG or SQL");
  }
  for (const v2::Status& status : Refusals(Filter(v2::TAG, "||"))) {
    EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
  }
}

TEST_F(FiltersTest, TagsOfTheSameHashAreTold) {
  Publish({Message("other", {}, kOtherTag), Message("sought", {}, kTag)});
  AwaitIndexed("t", 2);
  for (const v2::FilterExpression& filter :
       {Filter(v2::TAG, kTag), Sql(std::string("TAGS = '") + kTag + "'")}) {
    EXPECT_THAT(Pull(filter, 0).bodies, ElementsAre("sought"));
    Subscriber queue = Subscribe();
    queue.Attach(AttachOffset(filter), "t");
    EXPECT_THAT(queue.Bodies(1), ElementsAre("sought"));
  }
  EXPECT_THAT(ReceiveBodies(Filter(v2::TAG, kTag), 1), ElementsAre("sought"));
  Subscriber member = Subscribe("g2");
  member.Attach(AttachGroup(Filter(v2::TAG, kTag)), "t");
  EXPECT_THAT(member.Bodies(1), ElementsAre("sought"));
}

TEST_F(FiltersTest, TagsOfDeadLettersOfTheSameHashAreTold) {
  Publish({Message("other", {{"n", "1"}}, kOtherTag), Message("sought", {{"n", "2"}}, kTag)});
  std::vector<v2::Message> messages;
  while (messages.size() < 2) {
    for (const v2::Message& message : ReceiveSome("t", "g")) messages.push_back(message);
  }
  for (const v2::Message& message : messages) {
    v2::ForwardMessageToDeadLetterQueueRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_group()->set_name("g");
    request.set_receipt_handle(Handle(message));
    request.set_message_id(message.system_properties().message_id());
    Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request);
  }
  AwaitIndexed("%DLQ%g", 2);
  for (const v2::FilterExpression& filter : {Filter(v2::TAG, kTag), Sql("n = 2")}) {
    Subscriber subscriber = Subscribe();
    subscriber.Attach(AttachOffset(filter), "%DLQ%g");
    EXPECT_THAT(subscriber.Bodies(1), ElementsAre("sought"));
  }
}

TEST_F(FiltersTest, WhatOneMemberPassesOverIsDoneForItsGroup) {
  PublishPrices();
  EXPECT_THAT(ReceiveBodies(Sql("price < 3"), 2), ElementsAre("1", "2"));
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  *request.mutable_filter_expression() = Filter(v2::TAG, "green");
  EXPECT_EQ(Receive(request).status.code(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(FiltersTest, AQueueThatMatchesNothingTellsHowFarItIs) {
  PublishPrices();
  AwaitIndexed("t", 4);
  Subscriber subscriber = Subscribe("g");
  subscriber.Attach(AttachOffset(Sql("price > 4")), "t");
  clock_.Advance(std::chrono::seconds(1));
  const v1::MessageFrame frame = subscriber.Read().frame();
  EXPECT_EQ(frame.binding(), 1u);
  EXPECT_EQ(frame.records(), "");
  EXPECT_EQ(frame.next_offset(), 4u);
  EXPECT_EQ(frame.max_offset(), 4u);
  // Only when there is something to tell: the next one is about what came since.
  clock_.Advance(std::chrono::seconds(20));
  Publish({Message("5")});
  clock_.Advance(std::chrono::seconds(20));
  EXPECT_EQ(subscriber.Read().frame().next_offset(), 5u);
  Publish({Message("6", {{"price", "6"}})});
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("6"));
}

TEST_F(FiltersTest, AQueueThatMatchesLittleTellsHowFarItIsWhileItIsSought) {
  for (int i = 0; i < 4; ++i) Publish(std::vector<v2::Message>(20'000, Message("other", {}, "b")));
  Publish({Message("sought", {}, "a")});
  Subscriber subscriber = Subscribe();
  subscriber.Attach(AttachOffset(Filter(v2::TAG, "a")), "t");
  const v1::MessageFrame frame = subscriber.Read().frame();
  EXPECT_EQ(frame.records(), "");
  EXPECT_GE(frame.next_offset(), 65'536u);
  EXPECT_LT(frame.next_offset(), 80'000u);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("sought"));
}

// Each message takes the expression a quarter of what may be searched at a time.
TEST_F(FiltersTest, ExpensiveExpressionsTakeSeveralTurns) {
  const std::string large(16'000, 'x');
  std::vector<v2::Message> messages(20, Message("other", {{"p", large}}));
  messages.push_back(Message("sought", {{"p", large.substr(1) + "y"}}));
  Publish(messages);
  std::string expression = "p CONTAINS 'y'";
  for (int i = 1; i < 256; ++i) expression += " OR p CONTAINS 'z'";
  EXPECT_THAT(ReceiveBodies(Sql(expression), 1), ElementsAre("sought"));
  Subscriber member = Subscribe("g2");
  member.Attach(AttachGroup(Sql(expression)), "t");
  EXPECT_THAT(member.Bodies(1), ElementsAre("sought"));
  Subscriber queue = Subscribe();
  queue.Attach(AttachOffset(Sql(expression)), "t");
  EXPECT_THAT(queue.Bodies(1), ElementsAre("sought"));
  Pulled pulled;
  int pulls = 0;
  for (int64_t at = 0; pulled.bodies.empty() && pulls < 100; at = pulled.next) {
    pulled = Pull(Sql(expression), at);
    ++pulls;
  }
  EXPECT_THAT(pulled.bodies, ElementsAre("sought"));
  EXPECT_GT(pulls, 1);
}

}  // namespace
}  // namespace dunlin::broker
