// What a broker does that is given more than it takes on: the disk stands still meanwhile.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/testing/forgetful_file.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

constexpr int kMaxCalls = 3;
constexpr int kMaxBytes = 10'000;

class OverloadTest : public MessagingServiceTest {
 protected:
  OverloadTest() {
    StopAll();
    files_ = &slow_;
    config_.mutable_store()->set_flush_mode(config::v1::StoreConfig::SYNC_FLUSH);
    config_.mutable_broker()->set_max_pending_calls(kMaxCalls);
    config_.mutable_broker()->set_max_pending_bytes(kMaxBytes);
    Start();
    streams_ = v1::StreamService::NewStub(server_->InProcessChannel({}));
    admin_ = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  }
  ~OverloadTest() override { StopAll(); }  // before its files go

  admin::v1::Broker Describe() {
    grpc::ClientContext context;
    admin::v1::Broker broker;
    EXPECT_TRUE(admin_->GetBroker(&context, {}, &broker).ok());
    return broker;
  }
  template <typename Condition>
  void Await(Condition condition) {
    while (!condition(Describe())) std::this_thread::yield();
  }
  // What the broker says about a send that it refuses.
  int RefusedWithHint(const std::string& body) {
    v2::SendMessageRequest request;
    AddMessage(request, "t", body);
    v2::SendMessageResponse response;
    auto context = Context();
    EXPECT_TRUE(stub_->SendMessage(context.get(), request, &response).ok());
    EXPECT_EQ(response.status().code(), v2::TOO_MANY_REQUESTS);
    EXPECT_EQ(response.entries_size(), 0);
    const auto& trailer = context->GetServerTrailingMetadata();
    const auto hint = trailer.find("grpc-retry-pushback-ms");
    if (hint == trailer.end()) return 0;
    return std::stoi(std::string(hint->second.data(), hint->second.size()));
  }

  ForgetfulFiles slow_{RealFiles()};
  std::unique_ptr<v1::StreamService::Stub> streams_;
  std::unique_ptr<admin::v1::AdminService::Stub> admin_;
};

TEST_F(OverloadTest, CallsBeyondTheBoundAreRefusedWithAHintAndTheRestIsKept) {
  ASSERT_EQ(Send("t", "makes the topic").status().code(), v2::OK);
  slow_.HoldSyncs(true);
  std::vector<std::thread> senders;
  std::atomic<int> stored{0};
  for (int i = 0; i < kMaxCalls; ++i) {
    senders.emplace_back([&, i] {
      if (Send("t", std::to_string(i)).status().code() == v2::OK) stored.fetch_add(1);
    });
  }
  Await([](const admin::v1::Broker& broker) { return broker.pending_calls() == kMaxCalls; });
  EXPECT_GE(RefusedWithHint("too much"), 20);
  EXPECT_EQ(Describe().refused_sends(), 1);
  slow_.HoldSyncs(false);
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(stored.load(), kMaxCalls);
  Await([](const admin::v1::Broker& broker) { return broker.pending_calls() == 0; });
  AwaitIndexed("t", 1 + kMaxCalls);
}

TEST_F(OverloadTest, FramesBeyondTheBoundAreRefusedWithAHintAndUseUpNoSequence) {
  Publisher publisher(*streams_, 7, Context());
  EXPECT_EQ(publisher.Bind(1, "t", 0).status().code(), v2::OK);
  slow_.HoldSyncs(true);
  const std::string large(kMaxBytes / 3, 'x');
  publisher.Send(1, 1, {large});
  publisher.Send(1, 2, {large});
  publisher.Send(1, 3, {large, "y"});
  const v1::PublishError error = publisher.Error();
  EXPECT_EQ(error.status().code(), v2::TOO_MANY_REQUESTS);
  EXPECT_EQ(error.first_sequence(), 3u);
  EXPECT_EQ(error.count(), 2u);
  EXPECT_GE(error.retry_after_ms(), 20u);
  EXPECT_GT(Describe().pending_bytes(), kMaxBytes / 2);
  // A single call still gets in.
  std::thread sender([&] { EXPECT_EQ(Send("t", "single").status().code(), v2::OK); });
  Await([](const admin::v1::Broker& broker) { return broker.pending_calls() == 1; });
  slow_.HoldSyncs(false);
  sender.join();
  for (uint64_t stored = 0; stored < 2;) stored += publisher.Ack().count();
  Await([](const admin::v1::Broker& broker) { return broker.pending_bytes() == 0; });
  publisher.Send(1, 3, {"again"});
  EXPECT_EQ(publisher.Ack().first_sequence(), 3u);
  AwaitIndexed("t", 4);
}

TEST_F(OverloadTest, WhatNobodyWaitsForAnyMoreIsNotStored) {
  // The topic is made first, for which the disk is waited for.
  slow_.HoldSyncs(true);
  v2::SendMessageRequest request;
  AddMessage(request, "t", "given up");
  v2::SendMessageResponse response;
  auto context = Context("client", std::chrono::milliseconds(50));
  EXPECT_EQ(stub_->SendMessage(context.get(), request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  slow_.HoldSyncs(false);
  EXPECT_EQ(Send("t", "waited for").status().code(), v2::OK);
  const std::vector<v2::Message> received = ReceiveSome("t", "g");
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].body(), "waited for");
}

TEST_F(OverloadTest, WhatALogThatFailsDidNotTakeIsToldAsSuch) {
  ASSERT_EQ(Send("t", "makes the topic").status().code(), v2::OK);
  slow_.FailAt(ForgetfulFiles::Operation::kDataSync, 1, absl::InternalError("the disk is broken"));
  const v2::SendMessageResponse lost = Send("t", "lost");
  EXPECT_EQ(lost.status().code(), v2::MASTER_PERSISTENCE_TIMEOUT);
  EXPECT_EQ(lost.entries_size(), 0);
  EXPECT_NE(Send("t", "after it").status().code(), v2::OK);
  // Here, as a broker whose log has failed does not stop well.
  broker_->Drain();
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  EXPECT_FALSE(broker_->Stop().ok());
  server_.reset();
  broker_.reset();
}

}  // namespace
}  // namespace dunlin::broker
