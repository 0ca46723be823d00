// The Frame of a Follow stream: its bytes, and the check sum that runs through all of them. Pure.

#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::replicator {

// Records of one frame; a single larger one goes alone.
inline constexpr size_t kMaxFrameBytes = 1u << 20;

struct FrameHeader {
  Epoch epoch;
  LogOffset epoch_start;
  LogOffset offset;
  LogOffset confirm;
  LogOffset end;
  LogOffset begin;
  LogOffset segment_end;
  Timestamp time;
};

// The running check sum of one stream.
class FrameChain {
 public:
  // With this frame.
  uint32_t Extend(const FrameHeader& header, std::string_view records);

 private:
  uint32_t crc_ = 0;
};

// A FollowResponse with a frame; `pin` keeps `records` where they are until gRPC has sent them:
// they are not copied.
grpc::ByteBuffer EncodeFrame(const FrameHeader& header, uint32_t crc, std::string_view records,
                             std::shared_ptr<const void> pin);

struct DecodedFrame {
  FrameHeader header;
  uint32_t crc = 0;
  std::string_view records;
};
// Of a FollowResponse, in one piece; views into it. INVALID_ARGUMENT when it is none, or has more
// records than a frame may.
absl::StatusOr<DecodedFrame> DecodeFrame(std::string_view response);
// Whether it holds a frame, and not one of the other answers.
bool HasFrame(std::string_view response);

}  // namespace dunlin::replicator
