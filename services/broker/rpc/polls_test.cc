// Receives that wait: for how long, what ends the wait, what is left of one that is given up.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/groups_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PollsTest : public GroupsTest {
 protected:
  PollsTest() { CreateTopic("t", 1); }

  // A receive of at most `asked`; without, it is the deadline that says for how long.
  std::future<v2::Code> Poll(seconds asked, seconds deadline) {
    return std::async(std::launch::async, [=, this] {
      v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
      request.clear_long_polling_timeout();
      if (asked.count() > 0) {
        request.mutable_long_polling_timeout()->set_seconds(asked.count());
      }
      return Receive(request, "client", deadline).status.code();
    });
  }
};

TEST_F(PollsTest, OneThatWaitsIsServedByWhateverComesBack) {
  Send("t", "a");
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_invisible_duration()->set_seconds(10);
  request.mutable_long_polling_timeout()->set_seconds(20);
  std::vector<v2::Message> held = Receive(request).messages;
  const auto served_by = [&](const std::function<void(const std::string&)>& event) {
    ASSERT_EQ(held.size(), 1u);
    auto poll = std::async(std::launch::async,
                           [&] { return Receive(request, "other", seconds(60)).messages; });
    AwaitWaiting(1);
    event(Handle(held[0]));
    held = poll.get();
    EXPECT_EQ(held.size(), 1u);
    AwaitWaiting(0);
  };
  served_by([&](const std::string& handle) { ChangeInvisible("t", "g", handle, 0); });
  served_by([&](const std::string& handle) {
    ChangeInvisible("t", "g", handle, 3);
    clock_.Advance(seconds(3));
  });
  served_by([&](const std::string&) { clock_.Advance(seconds(10)); });
}

TEST_F(PollsTest, EndsShortlyBeforeItsCallerGivesUp) {
  auto poll = Poll(seconds(20), seconds(5));
  AwaitWaiting(1);
  // Without a reserve the caller's own deadline, which is of real time, came first.
  clock_.Advance(milliseconds(4800));
  EXPECT_EQ(poll.get(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(PollsTest, AnEmptyOneLastsAsLongAsItMay) {
  auto nine = Poll(seconds(9), seconds(60));
  auto ten = Poll(seconds(10), seconds(60));
  auto as_its_deadline = Poll(seconds(0), seconds(14));
  auto as_the_broker = Poll(seconds(60), seconds(120));
  AwaitWaiting(4);
  const auto ends_after = [&](milliseconds step, std::future<v2::Code>& poll, int64_t left) {
    clock_.Advance(step);
    EXPECT_EQ(poll.get(), v2::MESSAGE_NOT_FOUND);
    AwaitWaiting(left);
  };
  ends_after(milliseconds(9999), nine, 3);
  ends_after(milliseconds(1), ten, 2);
  ends_after(milliseconds(2500), as_its_deadline, 1);
  ends_after(milliseconds(7500), as_the_broker, 0);
}

TEST_F(PollsTest, OneWhoseCallerHangsUpTakesNothing) {
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_long_polling_timeout()->set_seconds(20);
  const auto context = Context("gone", seconds(60));
  const auto stream = stub_->ReceiveMessage(context.get(), request);
  AwaitWaiting(1);
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  AwaitWaiting(0);
  Send("t", "a");
  const std::vector<v2::Message> messages = ReceiveSome("t", "g");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].system_properties().delivery_attempt(), 1);
}

}  // namespace
}  // namespace dunlin::broker
