// Messages as apache.rocketmq.v2 has them, for what is sent and received by its calls.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "dunlin/lite_message.h"
#include "dunlin/message.h"

#include "clients/cpp/src/connection.h"
#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::internal {

// Ids of the length of those that the official SDKs make; no two are alike. Thread-safe.
class MessageIds {
 public:
  MessageIds();
  std::string Next();

 private:
  const uint64_t prefix_;
  std::atomic<uint64_t> next_{0};
};

// Topic, body, tag, keys and properties.
void FillContent(const Connection& connection, const Message& message,
                 apache::rocketmq::v2::Message& to);

// DATA_LOSS, RESOURCE_EXHAUSTED: of its compressed body (gzip.h); UNIMPLEMENTED: of an encoding
// that is not known.
absl::StatusOr<ReceivedLiteMessage> FromPublicMessage(apache::rocketmq::v2::Message message,
                                                      size_t max_body_bytes);

}  // namespace dunlin::internal
