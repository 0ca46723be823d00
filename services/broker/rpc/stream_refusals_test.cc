// What a stream refuses without ending.

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/rpc/testing/topic_admin.h"

namespace dunlin::broker {
namespace {

constexpr uint64_t kMaxSequence = uint64_t{1} << 62;
// Messages of a frame, far more than have room in one response with an error each.
constexpr uint32_t kMany = 20'000;

class StreamRefusalsTest : public MessagingServiceTest {
 protected:
  StreamRefusalsTest() { Connect(); }
  void Connect() { streams_ = v1::StreamService::NewStub(server_->InProcessChannel({})); }
  Publisher Publish(uint64_t producer_id = 0) { return {*streams_, producer_id, Context()}; }
  Subscriber Subscribe(const std::string& group = "") { return {*streams_, group, Context()}; }
  static v1::SubscribeRequest AttachRequest(uint32_t binding, v1::OffsetMode::Start start) {
    v1::SubscribeRequest request;
    request.mutable_attach()->set_binding(binding);
    request.mutable_attach()->mutable_offset()->set_start(start);
    return request;
  }
  static v1::PublishRequest BindRequest(uint32_t binding, const std::string& topic,
                                        uint32_t queue) {
    v1::PublishRequest request;
    request.mutable_bind()->set_binding(binding);
    request.mutable_bind()->mutable_topic()->set_name(topic);
    request.mutable_bind()->set_queue(queue);
    return request;
  }

  std::unique_ptr<v1::StreamService::Stub> streams_;
};

TEST_F(StreamRefusalsTest, FramesOfARefusedBindingAreAnsweredAndTheOthersStored) {
  Publisher publisher = Publish(5);
  EXPECT_EQ(publisher.Bind(1, "t", 0).status().code(), v2::OK);
  config_.mutable_broker()->set_auto_create_topics(false);
  // Without waiting for its Bound: the first frame is held, the second comes later.
  publisher.Write(BindRequest(2, "unknown", 0));
  publisher.Send(2, 1, {"a", "b"});
  v1::PublishError error;
  for (bool bound = false; !bound || error.count() == 0;) {
    const v1::PublishResponse response = publisher.Read();
    ASSERT_FALSE(HasFailure());
    if (response.bound_size() > 0) {
      bound = true;
      EXPECT_EQ(response.bound(0).status().code(), v2::TOPIC_NOT_FOUND);
    }
    if (response.errors_size() > 0) error = response.errors(0);
  }
  EXPECT_EQ(error.binding(), 2u);
  EXPECT_EQ(error.first_sequence(), 1u);
  EXPECT_EQ(error.count(), 2u);
  EXPECT_EQ(error.status().code(), v2::TOPIC_NOT_FOUND);
  publisher.Send(2, 3, {"c"});
  EXPECT_EQ(publisher.Error().status().code(), v2::TOPIC_NOT_FOUND);
  publisher.Send(1, 1, {"stored"});
  EXPECT_EQ(publisher.Ack().first_offset(), 0);
  // Until the number is bound.
  EXPECT_EQ(publisher.Bind(2, "t", 1).status().code(), v2::OK);
  publisher.Send(2, 1, {"stored"});
  EXPECT_EQ(publisher.Ack().binding(), 2u);
}

TEST_F(StreamRefusalsTest, ASequenceBeyondAllIsRefusedAndNotKept) {
  Publisher publisher = Publish(5);
  EXPECT_EQ(publisher.Bind(1, "t", 0, kMaxSequence + 1).status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(publisher.Bind(1, "t", 0, UINT64_MAX).status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(publisher.Bind(1, "t", 0).last_sequence(), 0u);
  publisher.Send(1, 1, {"first"});
  EXPECT_EQ(publisher.Ack().first_offset(), 0);
  EXPECT_EQ(publisher.Bind(2, "t", 1, kMaxSequence).last_sequence(), kMaxSequence - 1);
}

TEST_F(StreamRefusalsTest, ManyFaultsComeInSeveralResponses) {
  Publisher publisher = Publish(5);
  publisher.Bind(1, "t", 0);
  v1::PublishRequest request = Publisher::Frame(1, 1, {});
  v2::Message message;
  message.set_body("x");
  for (uint32_t i = 1; i < kMany; ++i) {
    message.mutable_system_properties()->set_tag(std::to_string(i) + "|");
    request.mutable_frame()->add_messages(message.SerializeAsString());
  }
  message.clear_system_properties();
  request.mutable_frame()->add_messages(message.SerializeAsString());
  publisher.Write(request);
  uint64_t next = 1;
  int responses = 0;
  for (v1::PublishResponse response; response.acks_size() == 0; ++responses) {
    response = publisher.Read();
    ASSERT_FALSE(HasFailure());
    EXPECT_LE(response.ByteSizeLong(), (1u << 20) + 1024);
    for (const v1::PublishError& error : response.errors()) {
      EXPECT_EQ(error.status().code(), v2::ILLEGAL_MESSAGE_TAG);
      ASSERT_EQ(error.first_sequence(), next);
      next += error.count();
    }
    if (response.acks_size() > 0) EXPECT_EQ(response.acks(0).first_sequence(), kMany);
  }
  EXPECT_EQ(next, kMany);
  EXPECT_GT(responses, 1);
}

TEST_F(StreamRefusalsTest, ABindingTooManyIsRefusedAlone) {
  Publisher publisher = Publish();
  constexpr uint32_t kMost = 65'536;
  constexpr uint32_t kAtATime = 32;
  for (uint32_t made = 0; made < kMost; made += kAtATime) {
    for (uint32_t i = 1; i <= kAtATime; ++i) publisher.Write(BindRequest(made + i, "t", 0));
    for (uint32_t bound = 0; bound < kAtATime;) {
      const v1::PublishResponse response = publisher.Read();
      for (const v1::Bound& one : response.bound()) ASSERT_EQ(one.status().code(), v2::OK);
      bound += static_cast<uint32_t>(response.bound_size());
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_EQ(publisher.Bind(kMost + 1, "t", 0).status().code(), v2::TOO_MANY_REQUESTS);
  publisher.Send(kMost + 1, 1, {"a"});
  EXPECT_EQ(publisher.Error().status().code(), v2::TOO_MANY_REQUESTS);
  publisher.Send(kMost, 1, {"b"});
  EXPECT_EQ(publisher.Ack().first_offset(), 0);
}

TEST_F(StreamRefusalsTest, ACommitBeyondTheEndOfTheQueueIsOneOfItsEnd) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"0", "1"});
  publisher.Ack();
  Subscriber subscriber = Subscribe("g");
  subscriber.Attach(AttachRequest(1, v1::OffsetMode::FIRST), "t");
  ASSERT_EQ(subscriber.Bodies(2).size(), 2u);
  v1::SubscribeRequest commit;
  commit.mutable_commit()->set_binding(1);
  for (const uint64_t offset : {uint64_t{3}, UINT64_MAX}) {
    commit.mutable_commit()->set_queue_offset(offset);
    subscriber.Write(commit);
  }
  const v1::Attached attached = subscriber.Attach(AttachRequest(2, v1::OffsetMode::COMMITTED), "t");
  EXPECT_EQ(attached.status().code(), v2::OK);
  EXPECT_EQ(attached.start_offset(), 2u);
}

TEST_F(StreamRefusalsTest, ACommitToADeletedTopicEndsNothing) {
  Publisher(*streams_, 0, Context()).Bind(1, "t", 0);
  Publisher(*streams_, 0, Context()).Bind(1, "kept", 0);
  Subscriber subscriber = Subscribe("g");
  subscriber.Attach(AttachRequest(1, v1::OffsetMode::FIRST), "t");
  TopicAdmin(server_->InProcessChannel({})).Delete("t");
  v1::SubscribeRequest commit;
  commit.mutable_commit()->set_binding(1);
  commit.mutable_commit()->set_queue_offset(7);
  subscriber.Write(commit);
  const v1::SubscribeResponse detached = subscriber.Read();
  ASSERT_EQ(detached.detached_size(), 1);
  EXPECT_EQ(detached.detached(0).status().code(), v2::TOPIC_NOT_FOUND);
  subscriber.Write(commit);
  EXPECT_EQ(subscriber.Attach(AttachRequest(2, v1::OffsetMode::FIRST), "kept").status().code(),
            v2::OK);
}

TEST_F(StreamRefusalsTest, ABindingForWhichThereIsNoRoomToWaitIsDetachedAlone) {
  StopAll();
  config_.mutable_broker()->set_max_waiting_polls(4);
  Start();
  Connect();
  TopicAdmin admin(server_->InProcessChannel({}));
  const auto attach = [&admin](Subscriber& subscriber, uint32_t binding, uint64_t waiting) {
    const v1::SubscribeRequest request = AttachRequest(binding, v1::OffsetMode::FIRST);
    EXPECT_EQ(subscriber.Attach(request, "t").status().code(), v2::OK);
    while (admin.Waiting() != waiting) std::this_thread::yield();
  };
  admin.Create(TopicAdmin::Topic("t", 1));
  Subscriber first = Subscribe();
  attach(first, 1, 1);
  attach(first, 2, 2);
  attach(first, 3, 2);  // half of the room is taken
  const v1::SubscribeResponse refused = first.Read();
  ASSERT_EQ(refused.detached_size(), 1);
  EXPECT_EQ(refused.detached(0).binding(), 3u);
  EXPECT_EQ(refused.detached(0).status().code(), v2::TOO_MANY_REQUESTS);
  Subscriber second = Subscribe();
  attach(second, 1, 3);
  attach(second, 2, 4);
  Subscriber third = Subscribe();
  attach(third, 1, 4);  // all of it is
  EXPECT_EQ(third.Read().detached(0).status().code(), v2::TOO_MANY_REQUESTS);
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"a"});
  publisher.Ack();
  EXPECT_EQ(first.Bodies(2).size(), 2u);
  EXPECT_EQ(second.Bodies(2).size(), 2u);
  v1::SubscribeRequest detach;
  detach.mutable_detach()->set_binding(1);
  second.Write(detach);
  EXPECT_EQ(second.Read().detached(0).status().code(), v2::OK);
  while (admin.Waiting() != 3) std::this_thread::yield();
  third.Attach(AttachRequest(2, v1::OffsetMode::FIRST), "t");
  EXPECT_EQ(third.Bodies(1).size(), 1u);
}

}  // namespace
}  // namespace dunlin::broker
