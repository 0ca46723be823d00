// What a broker does that is given more than it takes on: the disk stands still meanwhile.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/testing/forgetful_file.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

constexpr int kMaxPending = 3;

class OverloadTest : public MessagingServiceTest {
 protected:
  OverloadTest() {
    StopAll();
    files_ = &slow_;
    config_.mutable_store()->set_flush_mode(config::v1::StoreConfig::SYNC_FLUSH);
    config_.mutable_broker()->set_max_pending_sends(kMaxPending);
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
  void AwaitPending(int64_t count) {
    while (Describe().pending_sends() != count) std::this_thread::yield();
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

TEST_F(OverloadTest, WhatIsTooMuchIsRefusedWithAHintAndTheRestIsKept) {
  ASSERT_EQ(Send("t", "makes the topic").status().code(), v2::OK);
  slow_.HoldSyncs(true);
  std::vector<std::thread> senders;
  std::atomic<int> stored{0};
  for (int i = 0; i < kMaxPending; ++i) {
    senders.emplace_back([&, i] {
      if (Send("t", std::to_string(i)).status().code() == v2::OK) stored.fetch_add(1);
    });
  }
  AwaitPending(kMaxPending);
  EXPECT_GE(RefusedWithHint("too much"), 20);
  Publisher publisher(*streams_, 7, Context());
  EXPECT_EQ(publisher.Bind(1, "t", 0).status().code(), v2::OK);
  publisher.Send(1, 1, {"too", "much"});
  const v1::PublishError error = publisher.Error();
  EXPECT_EQ(error.status().code(), v2::TOO_MANY_REQUESTS);
  EXPECT_EQ(error.first_sequence(), 1u);
  EXPECT_EQ(error.count(), 2u);
  EXPECT_GE(error.retry_after_ms(), 20u);
  EXPECT_EQ(Describe().refused_sends(), 2);
  slow_.HoldSyncs(false);
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(stored.load(), kMaxPending);
  AwaitPending(0);
  // The refused frame used up no sequence.
  publisher.Send(1, 1, {"again"});
  EXPECT_EQ(publisher.Ack().first_sequence(), 1u);
  AwaitIndexed("t", 1 + kMaxPending + 1);
}

TEST_F(OverloadTest, FramesThatWaitForTheDiskCountUntilTheyAreAnswered) {
  Publisher publisher(*streams_, 7, Context());
  EXPECT_EQ(publisher.Bind(1, "t", 0).status().code(), v2::OK);
  slow_.HoldSyncs(true);
  for (uint64_t i = 1; i <= kMaxPending; ++i) publisher.Send(1, i, {"x"});
  AwaitPending(kMaxPending);
  EXPECT_GT(Describe().pending_bytes(), 0);
  EXPECT_GE(RefusedWithHint("too much"), 20);
  slow_.HoldSyncs(false);
  for (uint64_t stored = 0; stored < kMaxPending;) stored += publisher.Ack().count();
  AwaitPending(0);
  EXPECT_EQ(Describe().pending_bytes(), 0);
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

}  // namespace
}  // namespace dunlin::broker
