#include "services/relay/relay.h"

#include <grpcpp/generic/async_generic_service.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace dunlin {
namespace {

using Ended = std::future<grpc::Status>;

constexpr char kMethod[] = "/any.Service/Method";

grpc::ByteBuffer Request(size_t bytes) {
  const grpc::Slice slice(std::string(bytes, 'x'));
  return {&slice, 1};
}

Relay::Caller Patient() {
  Relay::Caller caller;
  caller.deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
  return caller;
}

Ended Pass(Relay& relay, const std::string& address, size_t bytes) {
  auto ended = std::make_shared<std::promise<grpc::Status>>();
  relay.Pass(
      address, kMethod, Patient(), Request(bytes),
      [ended](const grpc::Status& status, const grpc::ByteBuffer&) { ended->set_value(status); });
  return ended->get_future();
}

// Takes calls and answers none.
class Silent final : public grpc::CallbackGenericService {
 public:
  Silent() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Silent() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  class Waiting final : public grpc::ServerGenericBidiReactor {
   public:
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Waiting;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Answers each call with three messages, and does not end it. Tells when the caller goes.
class Chatty final : public grpc::CallbackGenericService {
 public:
  Chatty() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Chatty() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::future<void> Gone() { return gone_.get_future(); }

 private:
  class Answering final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Answering(std::promise<void>& gone) : gone_(gone) { WriteNext(); }
    void OnWriteDone(bool ok) override {
      if (ok && sent_ < 3) WriteNext();
    }
    void OnCancel() override {
      Finish(grpc::Status::CANCELLED);
      gone_.set_value();
    }
    void OnDone() override { delete this; }

   private:
    void WriteNext() {
      const grpc::Slice slice(std::to_string(++sent_));
      message_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&message_);
    }
    std::promise<void>& gone_;
    int sent_ = 0;
    grpc::ByteBuffer message_;
  };
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Answering(gone_);
  }

  int port_ = 0;
  std::promise<void> gone_;
  std::unique_ptr<grpc::Server> server_;
};

// Hangs up after so many messages.
class Listener final : public Relay::Reader {
 public:
  explicit Listener(size_t enough) : enough_(enough) {}
  void OnStart(Relay::Stream& stream) override { stream_ = &stream; }
  void OnMessage(const grpc::ByteBuffer& message) override {
    grpc::Slice slice;
    ASSERT_TRUE(message.DumpToSingleSlice(&slice).ok());
    heard_.emplace_back(slice.begin(), slice.end());
    if (heard_.size() == enough_) stream_->Cancel();
    stream_->Next();
  }
  void OnEnd(const grpc::Status& status) override { ended_.set_value(status); }

  Ended AwaitEnd() { return ended_.get_future(); }
  const std::vector<std::string>& Heard() const { return heard_; }

 private:
  const size_t enough_;
  Relay::Stream* stream_ = nullptr;
  std::vector<std::string> heard_;
  std::promise<grpc::Status> ended_;
};

TEST(RelayTest, AStreamComesInOrderAndItsReaderMayHangUp) {
  Chatty broker;
  std::future<void> gone = broker.Gone();
  Relay relay;
  const auto listener = std::make_shared<Listener>(3);
  Ended ended = listener->AwaitEnd();
  relay.PassStream(broker.Address(), kMethod, Relay::Kind::kPoll, Patient(), Request(1), listener);
  EXPECT_EQ(ended.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(listener->Heard(), (std::vector<std::string>{"1", "2", "3"}));
  gone.wait();
}

TEST(RelayTest, PollsAtATimeAreBoundedAndLeaveRoomForCalls) {
  const Silent broker;
  Relay relay({.calls = 1, .polls = 1});
  const auto stream = std::make_shared<Listener>(1);
  const auto another = std::make_shared<Listener>(1);
  Ended stream_ended = stream->AwaitEnd();
  Ended another_ended = another->AwaitEnd();
  relay.PassStream(broker.Address(), kMethod, Relay::Kind::kPoll, Patient(), Request(1), stream);
  relay.PassStream(broker.Address(), kMethod, Relay::Kind::kPoll, Patient(), Request(1), another);
  EXPECT_EQ(another_ended.get().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  Ended call = Pass(relay, broker.Address(), 1);
  EXPECT_EQ(Pass(relay, broker.Address(), 1).get().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);

  relay.CancelPolls();
  EXPECT_EQ(stream_ended.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(call.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  relay.Stop();
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(RelayTest, WhoPollsHasADeadline) {
  const Silent broker;
  Relay relay;
  Relay::Caller caller;
  caller.deadline = std::chrono::system_clock::time_point::max();
  const auto listener = std::make_shared<Listener>(1);
  Ended ended = listener->AwaitEnd();
  relay.PassStream(broker.Address(), kMethod, Relay::Kind::kPoll, caller, Request(1), listener);
  EXPECT_EQ(ended.get().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(RelayTest, BytesOnTheirWayAreBounded) {
  const Silent broker;
  Relay relay({.bytes = 1000});
  Ended large = Pass(relay, broker.Address(), 2000);  // alone
  EXPECT_EQ(Pass(relay, broker.Address(), 10).get().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  relay.Cancel();
  EXPECT_EQ(large.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(RelayTest, CallsAtATimeAreBounded) {
  const Silent broker;
  Relay relay({.calls = 2});
  Ended first = Pass(relay, broker.Address(), 1);
  Ended second = Pass(relay, broker.Address(), 1);
  EXPECT_EQ(Pass(relay, broker.Address(), 1).get().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  relay.Cancel();
  first.wait();
  second.wait();
}

TEST(RelayTest, AddressesOfOldMakeRoomForNewOnes) {
  const Silent broker;
  Relay relay({.channels = 3});
  Ended under_way = Pass(relay, broker.Address(), 1);
  // Nobody listens there.
  for (int port = 1; port <= 20; ++port) {
    EXPECT_EQ(Pass(relay, "127.0.0.1:" + std::to_string(port), 1).get().error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  relay.Cancel();
  EXPECT_EQ(under_way.get().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace dunlin
