#include "services/broker/rpc/status_map.h"

#include <chrono>
#include <string>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/codes/refusals.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::broker {
namespace {

// Room is made by retention, or by people.
constexpr std::chrono::milliseconds kDiskFullRetry{1000};

}  // namespace

apache::rocketmq::v2::Status OkOnWire() {
  apache::rocketmq::v2::Status wire;
  wire.set_code(apache::rocketmq::v2::OK);
  wire.set_message("OK");
  return wire;
}

apache::rocketmq::v2::Status ToWire(const absl::Status& status) {
  if (!status.ok()) CountRefusal(CodeOf(status));
  return StatusOnWire(status);
}

apache::rocketmq::v2::Status StatusOnWire(const absl::Status& status) {
  if (status.ok()) return OkOnWire();
  apache::rocketmq::v2::Status wire;
  wire.set_code(static_cast<apache::rocketmq::v2::Code>(CodeOf(status)));
  wire.set_message(std::string(status.message()));
  return wire;
}

// In all of them field 1 is the status, so that one stands for all.
grpc::ByteBuffer AnswerOnWire(const apache::rocketmq::v2::Status& status) {
  apache::rocketmq::v2::SendMessageResponse answer;
  *answer.mutable_status() = status;
  return Serialize(answer);
}

void HintRetry(const absl::Status& status, grpc::CallbackServerContext& context) {
  if (CodeOf(status) != PublicCode::kTooManyRequests) return;
  context.AddTrailingMetadata("grpc-retry-pushback-ms",
                              std::to_string(RetryAfterOf(status).count()));
}

grpc::Status BrokenStream(const absl::Status& status) {
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  if (absl::IsUnauthenticated(status)) code = grpc::StatusCode::UNAUTHENTICATED;
  if (absl::IsPermissionDenied(status)) code = grpc::StatusCode::PERMISSION_DENIED;
  return {code, std::string(status.message())};
}

absl::Status DiskFull() {
  return WithRetryAfter(
      PublicError(PublicCode::kTooManyRequests,
                  "the broker's disk is nearly full; free space or shorten the retention"),
      kDiskFullRetry);
}

}  // namespace dunlin::broker
