// V2Client: plain calls of apache.rocketmq.v2, one at a time, for setting up and reading back.
//
// Blocks the caller until the answer is there; every call has a deadline. Thread-safe.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"

namespace dunlin::e2e {

namespace v2 = apache::rocketmq::v2;

struct QueueName {
  std::string topic;
  uint32_t queue = 0;
};

// A connection of its own, ready for load: `number` keeps channels of one process apart.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, int number);
// The headers of every v2 call; signed as DUNLIN_ACCESS_KEY and DUNLIN_SECRET_KEY of the
// environment say, when they are there.
void AddHeaders(grpc::ClientContext& context);

class V2Client {
 public:
  // `patience`: the deadline of each call.
  explicit V2Client(const std::string& address,
                    std::chrono::milliseconds patience = std::chrono::seconds(30));

  // Sends what `request` holds; the offset of its only message. UNAVAILABLE when the call itself
  // failed, FAILED_PRECONDITION with the public code when it was refused.
  absl::StatusOr<int64_t> Send(const v2::SendMessageRequest& request);

  // Up to 1,024 messages of a queue from `offset` on, each given to `take` (whose error ends the
  // reading); the offset to go on from. Never waits for messages.
  absl::StatusOr<int64_t> Pull(const QueueName& queue, int64_t offset,
                               const std::function<absl::Status(const v2::Message&)>& take);

  // The offset behind the last message.
  absl::StatusOr<int64_t> EndOffset(const QueueName& queue);

  absl::Status UpdateOffset(const std::string& group, const QueueName& queue, int64_t offset);
  // NOT_FOUND when the group has none.
  absl::StatusOr<int64_t> GetOffset(const std::string& group, const QueueName& queue);

 private:
  void Prepare(grpc::ClientContext& context) const;

  const std::chrono::milliseconds patience_;
  const std::unique_ptr<v2::MessagingService::Stub> stub_;
};

}  // namespace dunlin::e2e
