// The one place where a status of ours becomes an answer on the wire.
//
// Errors of the application travel in the response with gRPC status OK: clients of
// apache.rocketmq.v2 take any other gRPC status for a broken transport.

#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::broker {

// An error counts as refused (refusals.h).
apache::rocketmq::v2::Status ToWire(const absl::Status& status);
apache::rocketmq::v2::Status OkOnWire();
// The same without counting.
apache::rocketmq::v2::Status StatusOnWire(const absl::Status& status);
// An answer of any method of apache.rocketmq.v2, or the first message of one.
grpc::ByteBuffer AnswerOnWire(const apache::rocketmq::v2::Status& status);

// With TOO_MANY_REQUESTS: puts the time after which to try again, in milliseconds, into the
// trailing metadata of the call, under the key that gRPC has for it (`grpc-retry-pushback-ms`):
// answers of apache.rocketmq.v2 have no field for it.
void HintRetry(const absl::Status& status, grpc::CallbackServerContext& context);

// How a stream of Dunlin's own ends whose caller broke its rules, or may not have it.
grpc::Status BrokenStream(const absl::Status& status);

// TOO_MANY_REQUESTS of a broker that has no room on its disk.
absl::Status DiskFull();

}  // namespace dunlin::broker
