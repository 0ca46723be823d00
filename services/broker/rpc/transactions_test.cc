// Transactions by the public API: half messages that nobody sees, committed, rolled back, asked
// about over Telemetry; on a clock that the test turns.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/rpc/testing/topic_admin.h"
#include "services/broker/transactions/transaction_id.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A producer's Telemetry stream.
class ProducerStream {
 public:
  ProducerStream(v2::MessagingService::Stub& stub, std::unique_ptr<grpc::ClientContext> context,
                 const std::string& topic)
      : context_(std::move(context)), stream_(stub.Telemetry(context_.get())) {
    v2::TelemetryCommand command;
    command.mutable_settings()->set_client_type(v2::PRODUCER);
    command.mutable_settings()->mutable_publishing()->add_topics()->set_name(topic);
    // When the second one is answered, the broker has taken in the first one.
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(stream_->Write(command));
      EXPECT_EQ(Read().status().code(), v2::OK);
    }
  }
  ~ProducerStream() {
    stream_->WritesDone();
    v2::TelemetryCommand command;
    while (stream_->Read(&command)) {
    }
    EXPECT_TRUE(stream_->Finish().ok());
  }

  v2::TelemetryCommand Read() {
    v2::TelemetryCommand command;
    EXPECT_TRUE(stream_->Read(&command));
    return command;
  }
  v2::RecoverOrphanedTransactionCommand Question() {
    const v2::TelemetryCommand command = Read();
    EXPECT_TRUE(command.has_recover_orphaned_transaction_command()) << command.ShortDebugString();
    return command.recover_orphaned_transaction_command();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v2::TelemetryCommand, v2::TelemetryCommand>>
      stream_;
};

class TransactionsTest : public MessagingServiceTest {
 protected:
  using Stub = v2::MessagingService::Stub;

  TransactionsTest() { CreateTopic("half", {admin::v1::TRANSACTION}); }

  TopicAdmin Topics() { return TopicAdmin(server_->InProcessChannel({})); }
  std::unique_ptr<admin::v1::AdminService::Stub> Admin() {
    return admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  }
  void CreateTopic(const std::string& name, const std::vector<admin::v1::MessageKind>& kinds) {
    admin::v1::Topic topic = TopicAdmin::Topic(name, 1);
    for (admin::v1::MessageKind kind : kinds) topic.add_kinds(kind);
    Topics().Create(topic);
  }

  static v2::Message* AddHalf(v2::SendMessageRequest& request, const std::string& topic,
                              const std::string& body) {
    v2::Message* const message = AddMessage(request, topic, body, "tag");
    message->mutable_system_properties()->set_message_type(v2::TRANSACTION);
    message->mutable_system_properties()->add_keys("key-" + body);
    return message;
  }

  std::string Prepare(const std::string& body, std::optional<milliseconds> recovery = {}) {
    v2::SendMessageRequest request;
    v2::Message* const message = AddHalf(request, "half", body);
    if (recovery.has_value()) {
      auto& duration =
          *message->mutable_system_properties()->mutable_orphaned_transaction_recovery_duration();
      duration.set_seconds(recovery->count() / 1000);
    }
    const v2::SendMessageResponse response = Call(&Stub::SendMessage, request);
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    if (response.entries_size() != 1) return "";
    EXPECT_EQ(response.entries(0).offset(), -1);
    EXPECT_EQ(response.entries(0).message_id(), "id-" + body);
    EXPECT_THAT(response.entries(0).transaction_id(), Not(IsEmpty()));
    return response.entries(0).transaction_id();
  }

  v2::Status End(const std::string& transaction, const std::string& body,
                 v2::TransactionResolution resolution, const std::string& topic = "half") {
    v2::EndTransactionRequest request;
    request.mutable_topic()->set_name(topic);
    request.set_transaction_id(transaction);
    if (!body.empty()) request.set_message_id("id-" + body);
    request.set_resolution(resolution);
    request.set_source(v2::SOURCE_CLIENT);
    return Call(&Stub::EndTransaction, request).status();
  }

  std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : messages) bodies.push_back(message.body());
    return bodies;
  }

  // Returns when so many checks are counted.
  void AwaitChecks(const std::string& transaction, uint32_t checks) {
    while (Get(transaction).transaction().checks() < checks) {
    }
  }

  admin::v1::GetTransactionResponse Get(const std::string& transaction) {
    admin::v1::GetTransactionRequest request;
    request.set_topic("half");
    request.set_transaction_id(transaction);
    admin::v1::GetTransactionResponse response;
    grpc::ClientContext context;
    const grpc::Status status = Admin()->GetTransaction(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::vector<std::string> List(bool parked) {
    admin::v1::ListTransactionsRequest request;
    request.set_topic("half");
    request.set_parked(parked);
    request.set_page_size(1);
    std::vector<std::string> ids;
    do {
      admin::v1::ListTransactionsResponse response;
      grpc::ClientContext context;
      EXPECT_TRUE(Admin()->ListTransactions(&context, request, &response).ok());
      for (const auto& transaction : response.transactions()) {
        ids.push_back(transaction.transaction_id());
      }
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return ids;
  }
};

TEST_F(TransactionsTest, AHalfMessageIsSeenOnceItIsCommitted) {
  const std::string first = Prepare("first");
  const std::string second = Prepare("second");
  EXPECT_EQ(End(second, "second", v2::COMMIT).code(), v2::OK);
  const std::vector<v2::Message> messages = ReceiveSome("half", "group");
  ASSERT_THAT(Bodies(messages), ElementsAre("second"));
  const v2::SystemProperties& properties = messages[0].system_properties();
  EXPECT_EQ(properties.message_type(), v2::NORMAL);
  EXPECT_EQ(properties.message_id(), "id-second");
  EXPECT_EQ(properties.tag(), "tag");
  EXPECT_EQ(properties.queue_offset(), 0);
  EXPECT_EQ(properties.delivery_attempt(), 1);
  EXPECT_FALSE(properties.has_dead_letter_queue());
  EXPECT_EQ(Ack("half", "group", {Handle(messages[0])}).status().code(), v2::OK);
  EXPECT_THAT(Receive("half", "group").messages, IsEmpty());
  EXPECT_EQ(End(first, "first", v2::COMMIT).code(), v2::OK);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("first"));
}

TEST_F(TransactionsTest, ACommitServesThePollThatWaits) {
  const std::string half = Prepare("half");
  auto poll = std::async(std::launch::async, [this] { return ReceiveSome("half", "group"); });
  TopicAdmin topics = Topics();
  while (topics.Waiting() != 1) {
  }
  EXPECT_EQ(End(half, "half", v2::COMMIT).code(), v2::OK);
  EXPECT_THAT(Bodies(poll.get()), ElementsAre("half"));
}

TEST_F(TransactionsTest, WhoEndsItNeedNotSayFromWhere) {
  v2::EndTransactionRequest request;
  request.mutable_topic()->set_name("half");
  request.set_message_id("id-half");
  request.set_transaction_id(Prepare("half"));
  request.set_resolution(v2::COMMIT);
  EXPECT_EQ(Call(&Stub::EndTransaction, request).status().code(), v2::OK);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("half"));
}

TEST_F(TransactionsTest, WhatIsRolledBackNeverComes) {
  const std::string wrong = Prepare("wrong");
  const std::string right = Prepare("right");
  EXPECT_EQ(End(wrong, "wrong", v2::ROLLBACK).code(), v2::OK);
  EXPECT_EQ(End(right, "right", v2::COMMIT).code(), v2::OK);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("right"));
  StopAll();
  Start();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(End(wrong, "wrong", v2::ROLLBACK).code(), v2::OK);
    EXPECT_EQ(End(right, "right", v2::COMMIT).code(), v2::OK);
    EXPECT_EQ(End(wrong, "wrong", v2::COMMIT).code(), v2::PRECONDITION_FAILED);
    EXPECT_EQ(End(right, "right", v2::ROLLBACK).code(), v2::PRECONDITION_FAILED);
  }
  EXPECT_THAT(Bodies(ReceiveSome("half", "other")), ElementsAre("right"));
  EXPECT_THAT(Receive("half", "other").messages, IsEmpty());
}

TEST_F(TransactionsTest, ItStaysOpenUntilSomebodyDecides) {
  const std::string half = Prepare("half");
  EXPECT_EQ(End(half, "half", v2::TRANSACTION_RESOLUTION_UNSPECIFIED).code(), v2::OK);
  StopAll();
  clock_.Advance(std::chrono::hours(48));
  Start();
  EXPECT_THAT(List(false), ElementsAre(half));
  EXPECT_EQ(End(half, "", v2::COMMIT).code(), v2::OK);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("half"));
  EXPECT_THAT(List(false), IsEmpty());
}

TEST_F(TransactionsTest, AWrongEndIsToldPrecisely) {
  CreateTopic("other", {admin::v1::TRANSACTION});
  const std::string half = Prepare("half");
  EXPECT_EQ(End("", "half", v2::COMMIT).code(), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End("nonsense", "half", v2::COMMIT).code(), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End(half, "half", v2::COMMIT, "other").code(), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End(half, "half", v2::COMMIT, "missing").code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(End(half, "another", v2::COMMIT).code(), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End(half, "half", static_cast<v2::TransactionResolution>(7)).code(), v2::BAD_REQUEST);
  Topics().Delete("half");
  CreateTopic("half", {admin::v1::TRANSACTION});
  EXPECT_EQ(End(half, "half", v2::COMMIT).code(), v2::INVALID_TRANSACTION_ID);
}

TEST_F(TransactionsTest, OnlyWhereTheTopicTakesThem) {
  EXPECT_EQ(Send("half", "normal").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  CreateTopic("normal", {admin::v1::NORMAL});
  v2::SendMessageRequest request;
  AddHalf(request, "normal", "body");
  v2::SendMessageResponse response = Call(&Stub::SendMessage, request);
  EXPECT_EQ(response.status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_THAT(response.status().message(), HasSubstr("send it without a transaction"));
  request.Clear();
  AddHalf(request, "half", "body")->mutable_system_properties()->set_message_group("group");
  response = Call(&Stub::SendMessage, request);
  EXPECT_EQ(response.status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(TransactionsTest, AProducerOfTheTopicIsAsked) {
  CreateTopic("other", {admin::v1::TRANSACTION});
  const ProducerStream bystander(*stub_, Context("bystander"), "other");
  ProducerStream producer(*stub_, Context("producer"), "half");
  const std::string half = Prepare("orphan");
  clock_.Advance(seconds(6));
  const v2::RecoverOrphanedTransactionCommand question = producer.Question();
  EXPECT_EQ(question.transaction_id(), half);
  EXPECT_EQ(question.message().topic().name(), "half");
  EXPECT_EQ(question.message().body(), "orphan");
  const v2::SystemProperties& properties = question.message().system_properties();
  EXPECT_EQ(properties.message_id(), "id-orphan");
  EXPECT_EQ(properties.message_type(), v2::TRANSACTION);
  EXPECT_EQ(properties.body_digest().type(), v2::MD5);
  EXPECT_THAT(properties.keys(), ElementsAre("key-orphan"));
  AwaitChecks(half, 1);
  clock_.Advance(seconds(30));
  EXPECT_EQ(producer.Question().transaction_id(), half);
  EXPECT_EQ(End(half, "orphan", v2::COMMIT).code(), v2::OK);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("orphan"));
}

TEST_F(TransactionsTest, AMessageMayHaveItsOwnTime) {
  ProducerStream producer(*stub_, Context("producer"), "half");
  const std::string late = Prepare("late", seconds(60));
  const std::string soon = Prepare("soon", seconds(1));
  clock_.Advance(seconds(1));
  EXPECT_EQ(producer.Question().transaction_id(), soon);
  EXPECT_EQ(End(soon, "soon", v2::ROLLBACK).code(), v2::OK);
  clock_.Advance(seconds(59));
  EXPECT_EQ(producer.Question().transaction_id(), late);
}

TEST_F(TransactionsTest, ProducersAreAskedInTurnAndNoneThatHasGone) {
  config_.mutable_broker()->mutable_transactions()->set_first_check_ms(1000);
  StopAll();
  Start();
  const std::string half = Prepare("orphan");
  {
    ProducerStream first(*stub_, Context("first"), "half");
    clock_.Advance(seconds(2));
    EXPECT_EQ(first.Question().transaction_id(), half);
    AwaitChecks(half, 1);
  }
  ProducerStream second(*stub_, Context("second"), "half");
  clock_.Advance(seconds(60));
  EXPECT_EQ(second.Question().transaction_id(), half);
  AwaitChecks(half, 2);
  ProducerStream third(*stub_, Context("third"), "half");
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(seconds(30));
    AwaitChecks(half, 3 + static_cast<uint32_t>(i));
  }
  EXPECT_EQ(second.Question().transaction_id(), half);
  EXPECT_EQ(third.Question().transaction_id(), half);
}

TEST_F(TransactionsTest, AParkedOneIsSeenAndEndedByOperators) {
  config_.mutable_broker()->mutable_transactions()->set_max_checks(2);
  StopAll();
  Start();
  ProducerStream producer(*stub_, Context("producer"), "half");
  const std::string half = Prepare("orphan");
  for (uint32_t check = 1; check <= 2; ++check) {
    clock_.Advance(seconds(30));
    EXPECT_EQ(producer.Question().transaction_id(), half);
    AwaitChecks(half, check);
  }
  EXPECT_THAT(List(true), IsEmpty());
  clock_.Advance(seconds(30));
  while (List(true).empty()) {
  }
  EXPECT_THAT(List(true), ElementsAre(half));
  const admin::v1::GetTransactionResponse shown = Get(half);
  EXPECT_EQ(shown.transaction().state(), admin::v1::PARKED);
  EXPECT_EQ(shown.transaction().message_id(), "id-orphan");
  EXPECT_EQ(shown.transaction().checks(), 2u);
  EXPECT_THAT(shown.message(), HasSubstr("orphan"));

  admin::v1::RecheckTransactionRequest again;
  again.set_topic("half");
  again.set_transaction_id(half);
  admin::v1::RecheckTransactionResponse rechecked;
  grpc::ClientContext first;
  EXPECT_TRUE(Admin()->RecheckTransaction(&first, again, &rechecked).ok());
  EXPECT_EQ(producer.Question().transaction_id(), half);
  EXPECT_THAT(List(true), IsEmpty());

  admin::v1::ResolveTransactionRequest end;
  end.set_topic("half");
  end.set_transaction_id(half);
  admin::v1::ResolveTransactionResponse ended;
  const auto resolve = [&](admin::v1::Resolution resolution) {
    grpc::ClientContext context;
    end.set_resolution(resolution);
    return Admin()->ResolveTransaction(&context, end, &ended).error_code();
  };
  EXPECT_EQ(resolve(admin::v1::RESOLUTION_UNSPECIFIED), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(resolve(admin::v1::COMMIT), grpc::StatusCode::OK);
  EXPECT_EQ(resolve(admin::v1::COMMIT), grpc::StatusCode::OK);
  EXPECT_EQ(resolve(admin::v1::ROLLBACK), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Get(half).transaction().state(), admin::v1::COMMITTED);
  EXPECT_THAT(Bodies(ReceiveSome("half", "group")), ElementsAre("orphan"));
  grpc::ClientContext second;
  EXPECT_EQ(Admin()->RecheckTransaction(&second, again, &rechecked).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

// Who may look into one topic and makes an id up sees nothing of another one.
TEST_F(TransactionsTest, AnIdThatNamesAnotherTopicShowsNothing) {
  CreateTopic("other", {admin::v1::TRANSACTION});
  const std::string open = Prepare("secret");
  const std::string ended = Prepare("committed");
  EXPECT_EQ(End(ended, "committed", v2::COMMIT).code(), v2::OK);
  v2::SendMessageRequest send;
  AddMessage(send, "other", "mine")->mutable_system_properties()->set_message_type(v2::TRANSACTION);
  const std::string mine = Call(&Stub::SendMessage, send).entries(0).transaction_id();
  admin::v1::GetTransactionRequest request;
  request.set_topic("other");
  admin::v1::GetTransactionResponse response;
  for (const std::string& victim : {open, ended}) {
    TransactionId id = DecodeTransactionId(victim).value();
    id.topic = DecodeTransactionId(mine)->topic;
    request.set_transaction_id(Encode(id));
    grpc::ClientContext context;
    EXPECT_EQ(Admin()->GetTransaction(&context, request, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(response.message(), "");
  }
  request.set_transaction_id(mine);
  request.set_topic("a-namespace/other");
  grpc::ClientContext context;
  const grpc::Status status = Admin()->GetTransaction(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
}

TEST_F(TransactionsTest, FailsLikeAnyOtherAndBecomesADeadLetter) {
  EXPECT_EQ(End(Prepare("poison"), "poison", v2::COMMIT).code(), v2::OK);
  std::vector<v2::Message> messages = ReceiveSome("half", "group");
  ASSERT_EQ(messages.size(), 1u);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("half");
  request.mutable_group()->set_name("group");
  request.set_receipt_handle(Handle(messages[0]));
  request.set_message_id("id-poison");
  EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, request).status().code(), v2::OK);
  messages = ReceiveSome("%DLQ%group", "undertaker");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "poison");
  EXPECT_EQ(messages[0].system_properties().message_type(), v2::NORMAL);
  EXPECT_EQ(messages[0].system_properties().dead_letter_queue().topic(), "half");
}

TEST_F(TransactionsTest, StreamsDeliverThemAndDoNotTakeThem) {
  EXPECT_EQ(End(Prepare("body"), "body", v2::COMMIT).code(), v2::OK);
  const auto streams = v1::StreamService::NewStub(server_->InProcessChannel({}));
  {
    Subscriber subscriber(*streams, "", Context());
    EXPECT_EQ(subscriber.AttachAt("half", 0, 0).status().code(), v2::OK);
    EXPECT_THAT(subscriber.Bodies(1), ElementsAre("body"));
  }
  {
    Subscriber subscriber(*streams, "group", Context());
    EXPECT_EQ(subscriber.AttachGroup("half").status().code(), v2::OK);
    EXPECT_THAT(subscriber.Bodies(1), ElementsAre("body"));
  }
  CreateTopic("mixed", {admin::v1::NORMAL, admin::v1::TRANSACTION});
  Publisher publisher(*streams, 7, Context());
  publisher.Bind(1, "mixed", 0);
  v2::Message message;
  message.set_body("half");
  message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
  v1::PublishRequest request = Publisher::Frame(1, 1, {});
  request.mutable_frame()->add_messages(message.SerializeAsString());
  publisher.Write(request);
  EXPECT_THAT(publisher.Error().status().message(), HasSubstr("SendMessage"));
}

TEST_F(TransactionsTest, ItIsFoundByKeyAndSaysThatItHasNoPlace) {
  const std::string half = Prepare("body");
  const auto offset = [&] {
    admin::v1::GetMessagesRequest request;
    request.set_topic("half");
    request.set_key("key-body");
    admin::v1::GetMessagesResponse response;
    do {
      grpc::ClientContext context;
      if (!Admin()->GetMessages(&context, request, &response).ok()) response.Clear();
    } while (response.messages().empty());
    return response.messages(0).queue_offset();
  };
  EXPECT_EQ(offset(), -1);
  EXPECT_EQ(End(half, "body", v2::COMMIT).code(), v2::OK);
  ReceiveSome("half", "group");
  EXPECT_EQ(offset(), 0);
}

}  // namespace
}  // namespace dunlin::broker
