// What all calls by gRPC to members of broker groups have in common. Any thread.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "absl/status/status.h"

namespace dunlin::op {

// A worker waits for the answer; so long at most.
inline constexpr std::chrono::seconds kCallTimeout{3};

void SetDeadline(grpc::ClientContext& context);

// The codes are the same numbers.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace dunlin::op
