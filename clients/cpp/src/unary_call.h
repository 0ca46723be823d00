// Call: one unary call of apache.rocketmq.v2, waited for.

#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "clients/cpp/src/connection.h"

namespace dunlin::internal {

// Not from one of gRPC's threads. INTERNAL: the answer cannot be read.
grpc::Status Call(const Connection& connection, const std::string& method,
                  const google::protobuf::MessageLite& request, std::chrono::milliseconds timeout,
                  google::protobuf::MessageLite& response);

// The status of the call, or else of its answer.
template <typename Response>
absl::Status StatusOf(const grpc::Status& called, const Response& response) {
  return called.ok() ? FromPublic(response.status()) : FromGrpc(called);
}

// Asking the same again may help.
inline bool MayBeTriedAgain(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status);
}

}  // namespace dunlin::internal
