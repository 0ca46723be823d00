// What RocketMQ's contract says about FIFO messages, over the public API.

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/wire/message_group.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr auto kSend = &v2::MessagingService::Stub::SendMessage;

class FifoTest : public MessagingServiceTest {
 protected:
  FifoTest() {
    CreateTopic("fifo", {admin::v1::FIFO});
    CreateGroup("ordered", admin::v1::IN_ORDER);
  }

  void CreateTopic(const std::string& name, const std::vector<admin::v1::MessageKind>& kinds) {
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->set_queues(4);
    for (admin::v1::MessageKind kind : kinds) request.mutable_topic()->add_kinds(kind);
    grpc::ClientContext context;
    admin::v1::Topic topic;
    EXPECT_TRUE(Admin()->CreateTopic(&context, request, &topic).ok());
  }

  void CreateGroup(const std::string& name, admin::v1::DeliveryOrder order,
                   uint32_t max_attempts = 0) {
    admin::v1::CreateGroupRequest request;
    request.mutable_group()->set_name(name);
    request.mutable_group()->set_delivery_order(order);
    request.mutable_group()->set_max_attempts(max_attempts);
    grpc::ClientContext context;
    admin::v1::Group group;
    EXPECT_TRUE(Admin()->CreateGroup(&context, request, &group).ok());
    EXPECT_EQ(group.delivery_order(), order);
  }

  std::unique_ptr<admin::v1::AdminService::Stub> Admin() {
    return admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  }

  static v2::Message* AddFifo(v2::SendMessageRequest& request, const std::string& topic,
                              const std::string& group, const std::string& body) {
    v2::Message* message = AddMessage(request, topic, body);
    message->mutable_system_properties()->set_message_type(v2::FIFO);
    if (!group.empty()) message->mutable_system_properties()->set_message_group(group);
    return message;
  }
  v2::SendMessageResponse SendFifo(const std::string& group, const std::vector<std::string>& bodies,
                                   const std::string& topic = "fifo") {
    v2::SendMessageRequest request;
    for (const std::string& body : bodies) AddFifo(request, topic, group, body);
    return Call(kSend, request);
  }

  // At most `batch` messages, as they come within a while.
  std::vector<v2::Message> Take(int batch, const std::string& attempt = "", int wait_seconds = 3,
                                const std::string& group = "ordered") {
    v2::ReceiveMessageRequest request = ReceiveRequest("fifo", group);
    request.set_batch_size(batch);
    request.mutable_long_polling_timeout()->set_seconds(wait_seconds);
    if (!attempt.empty()) request.set_attempt_id(attempt);
    return Receive(request).messages;
  }
  std::vector<std::string> TakeBodies(int batch, const std::string& attempt = "") {
    return Bodies(Take(batch, attempt));
  }
  std::vector<v2::Message> TakeNothing(int batch, const std::string& attempt = "") {
    return Take(batch, attempt, 0);
  }
  static std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : messages) bodies.push_back(message.body());
    return bodies;
  }
  void AwaitWaiting() {
    for (admin::v1::Broker broker; broker.waiting_polls() == 0;) {
      grpc::ClientContext context;
      ASSERT_TRUE(Admin()->GetBroker(&context, {}, &broker).ok());
    }
  }
  void AckAll(const std::vector<v2::Message>& messages, const std::string& group = "ordered") {
    for (const v2::Message& message : messages) {
      EXPECT_EQ(Ack("fifo", group, {Handle(message)}).status().code(), v2::OK);
    }
  }
  void AwaitStored(size_t messages) {
    for (size_t seen = 0; seen < messages;) {
      const size_t more = ReceiveSome("fifo", "reader").size();
      ASSERT_GT(more, 0u);
      seen += more;
    }
  }
};

TEST_F(FifoTest, AMessageOfAGroupGoesIntoTheGroupsQueueAndIsDeliveredAsFifo) {
  for (const std::string group : {"a", "b", "another", "grüße"}) {
    EXPECT_EQ(SendFifo(group, {group}).status().code(), v2::OK);
  }
  for (size_t seen = 0; seen < 4;) {
    const std::vector<v2::Message> messages = Take(32);
    ASSERT_FALSE(messages.empty());
    for (const v2::Message& message : messages) {
      const v2::SystemProperties& system = message.system_properties();
      EXPECT_EQ(system.message_type(), v2::FIFO);
      EXPECT_EQ(system.message_group(), message.body());
      EXPECT_EQ(static_cast<uint32_t>(system.queue_id()), QueueOfMessageGroup(message.body(), 4));
    }
    seen += messages.size();
    AckAll(messages);
  }
}

TEST_F(FifoTest, TheHashIsTheDocumentedOne) {
  EXPECT_EQ(HashMessageGroup("123456789"), 0xE3069283u);
  EXPECT_EQ(HashMessageGroup(""), 0u);
  EXPECT_EQ(QueueOfMessageGroup("123456789", 8), 3u);
}

// Reference, "Kinds" and "Send".
TEST_F(FifoTest, SendRefusesWhatHasNoOrder) {
  CreateTopic("plain", {admin::v1::NORMAL});
  CreateTopic("mixed", {admin::v1::NORMAL, admin::v1::FIFO});
  const auto code = [&](const std::string& topic, const std::string& group) {
    return SendFifo(group, {"body"}, topic).status().code();
  };
  EXPECT_EQ(code("plain", "g"), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(code("fifo", ""), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(code("mixed", ""), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send("fifo", "normal").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(code("fifo", " \t"), v2::ILLEGAL_MESSAGE_GROUP);
  EXPECT_EQ(code("fifo", "a\nb"), v2::ILLEGAL_MESSAGE_GROUP);
  EXPECT_EQ(code("fifo", std::string(64, 'g')), v2::ILLEGAL_MESSAGE_GROUP);
  EXPECT_EQ(code("fifo", std::string(63, 'g')), v2::OK);
  EXPECT_EQ(code("mixed", "g"), v2::OK);
  EXPECT_EQ(Send("mixed", "normal").status().code(), v2::OK);
}

TEST_F(FifoTest, OneBatchKeepsItsOrderPerGroup) {
  v2::SendMessageRequest request;
  for (int i = 0; i < 12; ++i) {
    AddFifo(request, "fifo", i % 2 == 0 ? "even" : "odd", std::to_string(i));
  }
  ASSERT_EQ(Call(kSend, request).status().code(), v2::OK);
  std::map<std::string, std::vector<int>> seen;
  for (size_t count = 0; count < 12;) {
    const std::vector<v2::Message> messages = Take(5);
    ASSERT_FALSE(messages.empty());
    for (const v2::Message& message : messages) {
      seen[message.system_properties().message_group()].push_back(std::stoi(message.body()));
    }
    count += messages.size();
    AckAll(messages);
  }
  EXPECT_THAT(seen["even"], ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(seen["odd"], ElementsAre(1, 3, 5, 7, 9, 11));
}

// Reference, FIFO: "receive without ack must return only message 0 forever with batch size 1".
TEST_F(FifoTest, WithoutAnAckTheFirstMessageComesAgainForEver) {
  SendFifo("g", {"0", "1", "2"});
  AwaitStored(3);
  for (int attempt = 1; attempt <= 4; ++attempt) {
    const std::vector<v2::Message> messages = Take(1);
    ASSERT_THAT(Bodies(messages), ElementsAre("0"));
    EXPECT_EQ(messages[0].system_properties().delivery_attempt(), attempt);
    EXPECT_TRUE(TakeNothing(1).empty());
    clock_.Advance(seconds(30));
  }
}

// Reference, FIFO: batch of three, only the second and the third acknowledged.
TEST_F(FifoTest, ExactlyTheBatchWhoseHeadWasNotAckedKeepsComing) {
  SendFifo("g", {"0", "1", "2", "3", "4"});
  AwaitStored(5);
  std::vector<v2::Message> batch = Take(3);
  for (int attempt = 2; attempt <= 4; ++attempt) {
    ASSERT_EQ(batch.size(), 3u);
    AckAll({batch[1], batch[2]});
    EXPECT_TRUE(TakeNothing(32).empty());
    clock_.Advance(seconds(30));
    batch = Take(32);
    EXPECT_THAT(Bodies(batch), ElementsAre("0", "1", "2"));
    for (const v2::Message& message : batch) {
      EXPECT_EQ(message.system_properties().delivery_attempt(), attempt);
    }
  }
  AckAll(batch);
  EXPECT_THAT(TakeBodies(32), ElementsAre("3", "4"));
}

TEST_F(FifoTest, ANackIsOfItsMessageAndRedeliveryBeginsAtTheFirstUnacked) {
  SendFifo("g", {"0", "1", "2"});
  AwaitStored(3);
  const std::vector<v2::Message> batch = Take(3);
  ASSERT_EQ(batch.size(), 3u);
  AckAll({batch[0]});
  EXPECT_EQ(ChangeInvisible("fifo", "ordered", Handle(batch[1]), 0).status().code(), v2::OK);
  EXPECT_TRUE(TakeNothing(3).empty());  // the third is still with its consumer
  EXPECT_EQ(ChangeInvisible("fifo", "ordered", Handle(batch[2]), 5).status().code(), v2::OK);
  clock_.Advance(seconds(5));
  EXPECT_THAT(TakeBodies(3), ElementsAre("1", "2"));
}

// Reference, FIFO: attempt_id.
TEST_F(FifoTest, TheSameAttemptGetsTheSameBatchAndAnotherOneIsBlocked) {
  SendFifo("g", {"0", "1", "2"});
  AwaitStored(3);
  const std::vector<v2::Message> first = Take(2, "attempt-1");
  ASSERT_THAT(Bodies(first), ElementsAre("0", "1"));
  EXPECT_TRUE(TakeNothing(2, "attempt-2").empty());
  EXPECT_TRUE(TakeNothing(2).empty());
  const std::vector<v2::Message> again = TakeNothing(2, "attempt-1");
  ASSERT_THAT(Bodies(again), ElementsAre("0", "1"));
  EXPECT_EQ(again[0].system_properties().delivery_attempt(), 1);
  EXPECT_EQ(Ack("fifo", "ordered", {Handle(first[0])}).status().code(), v2::INVALID_RECEIPT_HANDLE);
  AckAll(again);
  EXPECT_THAT(TakeBodies(2, "attempt-1"), ElementsAre("2"));
}

TEST_F(FifoTest, PushConsumersOfTheSdkForGoGetAGroupOneByOne) {
  SendFifo("g", {"0", "1", "2"});
  AwaitStored(3);
  const auto take = [&](bool auto_renew) {
    v2::ReceiveMessageRequest request = ReceiveRequest("fifo", "ordered");
    request.set_auto_renew(auto_renew);
    request.mutable_long_polling_timeout()->set_seconds(5);
    auto context = Context();
    context->AddMetadata("x-mq-language", "GO");
    auto stream = stub_->ReceiveMessage(context.get(), request);
    std::vector<v2::Message> messages;
    v2::ReceiveMessageResponse element;
    while (stream->Read(&element)) {
      if (element.has_message()) messages.push_back(element.message());
    }
    EXPECT_TRUE(stream->Finish().ok());
    return messages;
  };
  const std::vector<v2::Message> pushed = take(/*auto_renew=*/true);
  ASSERT_THAT(Bodies(pushed), ElementsAre("0"));
  AckAll(pushed);
  EXPECT_THAT(Bodies(take(/*auto_renew=*/false)), ElementsAre("1", "2"));
}

TEST_F(FifoTest, AnOrderedGroupIsAssignedEachQueueByItsNumber) {
  v2::QueryAssignmentRequest request;
  request.mutable_topic()->set_name("fifo");
  request.mutable_group()->set_name("ordered");
  const v2::QueryAssignmentResponse response =
      Call(&v2::MessagingService::Stub::QueryAssignment, request);
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_EQ(response.assignments_size(), 4);
  for (int i = 0; i < 4; ++i) {
    const v2::MessageQueue& queue = response.assignments(i).message_queue();
    EXPECT_EQ(queue.id(), i);
    EXPECT_EQ(queue.topic().name(), "fifo");
    EXPECT_EQ(queue.permission(), v2::READ_WRITE);
    EXPECT_EQ(queue.accept_message_types_size(), 0);
  }
}

TEST_F(FifoTest, AnAttemptIdMayNotBeEndless) {
  v2::ReceiveMessageRequest request = ReceiveRequest("fifo", "ordered");
  request.set_attempt_id(std::string(256, 'x'));
  EXPECT_EQ(Receive(request).status.code(), v2::BAD_REQUEST);
}

TEST_F(FifoTest, AGroupInFlightBlocksNoOtherGroupOfItsQueue) {
  // Two groups of one queue.
  std::vector<std::string> groups;
  for (int i = 0; groups.size() < 2; ++i) {
    const std::string name = "g" + std::to_string(i);
    if (QueueOfMessageGroup(name, 4) == 1) groups.push_back(name);
  }
  SendFifo(groups[0], {"a0", "a1"});
  SendFifo(groups[1], {"b0", "b1"});
  AwaitStored(4);
  ASSERT_THAT(TakeBodies(1), ElementsAre("a0"));
  const std::vector<v2::Message> other = Take(32);
  EXPECT_THAT(Bodies(other), ElementsAre("b0", "b1"));
}

TEST_F(FifoTest, AStuckGroupWithMuchBehindItHoldsUpNothingOfItsQueue) {
  constexpr int kOthers = 5;
  constexpr int kRounds = 40;
  std::vector<std::string> groups;  // of one queue; the first is stuck
  for (int i = 0; groups.size() <= kOthers; ++i) {
    const std::string name = "g" + std::to_string(i);
    if (QueueOfMessageGroup(name, 4) == 2) groups.push_back(name);
  }
  for (int round = 0; round < kRounds; ++round) {
    v2::SendMessageRequest request;
    for (int i = 0; i < 10; ++i) AddFifo(request, "fifo", groups[0], "stuck");
    for (int i = 1; i <= kOthers; ++i) {
      AddFifo(request, "fifo", groups[static_cast<size_t>(i)], std::to_string(round));
    }
    ASSERT_EQ(Call(kSend, request).status().code(), v2::OK);
  }
  AwaitStored(kRounds * (10 + kOthers));
  ASSERT_THAT(TakeBodies(1), ElementsAre("stuck"));
  // No time passes until all others are done.
  std::map<std::string, int> next;
  for (int done = 0; done < kRounds * kOthers;) {
    const std::vector<v2::Message> messages = Take(16);
    ASSERT_FALSE(messages.empty()) << done;
    for (const v2::Message& message : messages) {
      ASSERT_NE(message.system_properties().message_group(), groups[0]);
      ASSERT_EQ(message.body(),
                std::to_string(next[message.system_properties().message_group()]++));
    }
    AckAll(messages);
    done += static_cast<int>(messages.size());
  }
  EXPECT_TRUE(TakeNothing(1).empty());
}

// Reference, trap 34: missed wake-ups.
TEST_F(FifoTest, AnAckWakesAPollThatWaitsForTheGroup) {
  SendFifo("g", {"0", "1"});
  AwaitStored(2);
  const std::vector<v2::Message> first = Take(1);
  ASSERT_EQ(first.size(), 1u);
  std::vector<std::string> second;
  std::thread poll([&] { second = Bodies(Take(1, "", 8)); });
  AwaitWaiting();
  AckAll(first);
  poll.join();
  EXPECT_THAT(second, ElementsAre("1"));
}

TEST_F(FifoTest, AfterTheLastAttemptADeadLetterMakesWay) {
  CreateGroup("strict", admin::v1::IN_ORDER, 2);
  SendFifo("g", {"0", "1"});
  AwaitStored(2);
  for (int attempt = 1; attempt <= 2; ++attempt) {
    ASSERT_THAT(Bodies(Take(1, "", 3, "strict")), ElementsAre("0"));
    clock_.Advance(seconds(30));
  }
  EXPECT_THAT(Bodies(Take(1, "", 8, "strict")), ElementsAre("1"));
  const std::vector<v2::Message> dead = ReceiveSome("%DLQ%strict", "reader");
  ASSERT_THAT(Bodies(dead), ElementsAre("0"));
  EXPECT_EQ(dead[0].system_properties().message_group(), "g");
}

TEST_F(FifoTest, DeadLettersOfAGroupComeInItsOrder) {
  CreateGroup("strict", admin::v1::IN_ORDER, 1);
  SendFifo("g", {"0", "1", "2", "3"});
  AwaitStored(4);
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(Bodies(Take(1, "", 8, "strict")), ElementsAre(std::to_string(i)));
    EXPECT_TRUE(Take(1, "", 0, "strict").empty());
    clock_.Advance(seconds(30));
  }
  EXPECT_TRUE(Take(1, "", 0, "strict").empty());
  std::vector<std::string> dead;
  while (dead.size() < 4) {
    const std::vector<v2::Message> some = ReceiveSome("%DLQ%strict", "reader");
    ASSERT_FALSE(some.empty());
    for (const v2::Message& message : some) dead.push_back(message.body());
  }
  EXPECT_THAT(dead, ElementsAre("0", "1", "2", "3"));
}

TEST_F(FifoTest, AForwardedMessageMakesWayAtOnce) {
  SendFifo("g", {"0", "1"});
  AwaitStored(2);
  const std::vector<v2::Message> first = Take(1);
  ASSERT_EQ(first.size(), 1u);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("fifo");
  request.mutable_group()->set_name("ordered");
  request.set_receipt_handle(Handle(first[0]));
  request.set_message_id(first[0].system_properties().message_id());
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request).status().code(),
      v2::OK);
  EXPECT_THAT(TakeBodies(2), ElementsAre("1"));
}

TEST_F(FifoTest, OrderSurvivesARestart) {
  SendFifo("g", {"0", "1", "2"});
  SendFifo("h", {"h0"});
  AwaitStored(4);
  std::vector<v2::Message> taken = Take(32);
  while (taken.size() < 4) {
    for (const v2::Message& message : Take(32)) taken.push_back(message);
  }
  std::erase_if(taken, [](const v2::Message& message) {
    return message.system_properties().message_group() != "g";
  });
  ASSERT_EQ(taken.size(), 3u);
  AckAll({taken[1]});
  StopAll();
  Start();
  EXPECT_TRUE(TakeNothing(32).empty());
  AckAll({taken[0]});
  clock_.Advance(seconds(30));
  std::vector<std::string> again;
  while (again.size() < 2) {
    for (const std::string& body : TakeBodies(32)) again.push_back(body);
  }
  std::erase(again, "h0");
  EXPECT_THAT(again, ElementsAre("2"));
}

TEST_F(FifoTest, AGroupThatIsNotOrderedConsumesConcurrently) {
  SendFifo("g", {"0", "1"});
  AwaitStored(2);
  EXPECT_EQ(Take(1, "", 3, "any").size(), 1u);
  EXPECT_EQ(Take(1, "", 3, "any").size(), 1u);
}

TEST_F(FifoTest, MessagesWithoutAGroupKeepTheOrderOfTheirQueueForAnOrderedGroup) {
  admin::v1::UpdateTopicRequest update;
  update.mutable_topic()->set_name("fifo");
  update.mutable_topic()->add_kinds(admin::v1::NORMAL);
  grpc::ClientContext context;
  admin::v1::Topic topic;
  ASSERT_TRUE(Admin()->UpdateTopic(&context, update, &topic).ok());
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(Send("fifo", std::to_string(i)).status().code(), v2::OK);
  }
  AwaitStored(8);
  // One of each of the four queues, then no more.
  std::set<int> queues;
  for (int i = 0; i < 4; ++i) {
    const std::vector<v2::Message> messages = Take(1);
    ASSERT_EQ(messages.size(), 1u);
    queues.insert(messages[0].system_properties().queue_id());
    EXPECT_EQ(messages[0].system_properties().queue_offset(), 0);
  }
  EXPECT_EQ(queues.size(), 4u);
  EXPECT_TRUE(TakeNothing(1).empty());
}

}  // namespace
}  // namespace dunlin::broker
