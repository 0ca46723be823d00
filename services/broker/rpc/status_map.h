// The one place where a status of ours becomes an answer on the wire.
//
// Errors of the application travel in the response with gRPC status OK: clients of
// apache.rocketmq.v2 take any other gRPC status for a broken transport.

#pragma once

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::broker {

apache::rocketmq::v2::Status ToWire(const absl::Status& status);
apache::rocketmq::v2::Status OkOnWire();

}  // namespace dunlin::broker
