// V2Client: the calls of the public API that a test makes, one at a time.
//
// An answer other than OK becomes an error that names the code. Thread-safe.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"

namespace dunlin::e2e {

// A connection of its own, which repeats nothing by itself.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address);

// What every call carries: who calls, and until when.
void PrepareContext(grpc::ClientContext& context);

// A message as an SDK would send it.
apache::rocketmq::v2::Message NewMessage(const std::string& topic, uint64_t id);

// OK, or an error that names the code and its text.
absl::Status CheckAnswer(const grpc::Status& call, const apache::rocketmq::v2::Status& answer);

class V2Client {
 public:
  explicit V2Client(const std::string& address);

  // The queues of a topic, which is made when the server makes topics.
  absl::StatusOr<std::vector<apache::rocketmq::v2::MessageQueue>> QueryRoute(
      const std::string& topic);

  // Returns the queue offset.
  absl::StatusOr<uint64_t> Send(const std::string& topic, const std::string& body);

  // Pulls once, without waiting; `observe` is told each message, and its error ends the call.
  // Returns the offset to go on from.
  using Observe = std::function<absl::Status(const apache::rocketmq::v2::Message&)>;
  absl::StatusOr<uint64_t> Pull(const apache::rocketmq::v2::MessageQueue& queue, uint64_t offset,
                                const Observe& observe);

  // As a member of `group`: up to `count` messages, hidden from others for 30 seconds.
  absl::StatusOr<std::vector<apache::rocketmq::v2::Message>> Receive(
      const std::string& group, const apache::rocketmq::v2::MessageQueue& queue, int count);
  absl::Status Ack(const std::string& group, const apache::rocketmq::v2::Message& message);

  // The first offset of a queue that is kept, and the one that the next message gets.
  absl::StatusOr<uint64_t> QueryOffset(const apache::rocketmq::v2::MessageQueue& queue,
                                       apache::rocketmq::v2::QueryOffsetPolicy policy);

 private:
  std::unique_ptr<apache::rocketmq::v2::MessagingService::Stub> stub_;
};

}  // namespace dunlin::e2e
