// Messages for tests: random ones, and the payload that is stored for one.

#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/wire/send_scanner.h"

namespace dunlin::broker {

// Any field set or not; strings short, sometimes not ASCII.
apache::rocketmq::v2::Message RandomMessage(std::mt19937& random);

// As an SDK sends it: NORMAL, with what a producer fills in.
apache::rocketmq::v2::Message UsualMessage(size_t body_bytes);

// A SendMessageRequest of one message, given as itself or as its bytes.
std::string SerializeSend(const apache::rocketmq::v2::Message& message);
std::string WrapSend(std::string_view message);

// The pieces of the payload joined.
std::string PayloadOf(const RawMessage& message);

// Scans `message` as if it were sent. REQUIRES: it can be.
struct Stored {
  std::string payload;
  uint32_t properties_offset = 0;
};
Stored Store(const apache::rocketmq::v2::Message& message);

// Without what only the server writes.
apache::rocketmq::v2::Message WithoutServerFields(apache::rocketmq::v2::Message message);

}  // namespace dunlin::broker
