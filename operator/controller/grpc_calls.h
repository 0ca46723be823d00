// What all calls by gRPC to members of broker groups have in common. Any thread.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "absl/status/status.h"

#include "services/base/request_signature.h"

namespace dunlin::op {

// A worker waits for the answer; so long at most.
inline constexpr std::chrono::seconds kCallTimeout{3};

void SetDeadline(grpc::ClientContext& context);

// Puts a signature on it, as brokers with access control want one. Empty credentials: none.
void Sign(const Credentials& credentials, grpc::ClientContext& context);

// The codes are the same numbers.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace dunlin::op
