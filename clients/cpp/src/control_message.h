// Control messages of the streams between protobuf and bytes, and how long to wait between
// attempts.

#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>

namespace dunlin::internal {

inline grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

// The whole of `bytes` in one piece; copies only when it came in several.
inline grpc::Slice OneSlice(const grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  if (!bytes.TrySingleSlice(&slice).ok()) bytes.DumpToSingleSlice(&slice);
  return slice;
}

inline bool FromBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message) {
  const grpc::Slice slice = OneSlice(bytes);
  return message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

// `first`, doubled with every attempt that failed, up to five seconds.
inline std::chrono::milliseconds Backoff(int failures, std::chrono::milliseconds first) {
  constexpr std::chrono::milliseconds kLongest{5000};
  return std::min(kLongest, first * (1 << std::min(failures, 12)));
}

// Half of `delay` to all of it, by chance: who failed at the same time does not come back at the
// same time.
inline std::chrono::milliseconds Jittered(std::chrono::milliseconds delay) {
  thread_local std::minstd_rand random(std::random_device{}());
  std::uniform_int_distribution<int64_t> some(delay.count() / 2, delay.count());
  return std::chrono::milliseconds(some(random));
}

}  // namespace dunlin::internal
