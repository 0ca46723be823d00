// What gRPC hands to the broker in byte buffers, and how large it may be.

#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "absl/status/status.h"

#include "services/runtime/byte_buffers.h"

namespace dunlin::broker {

using dunlin::CopiedSlice;
using dunlin::FlatBuffer;
using dunlin::Parse;
using dunlin::PinnedSlice;
using dunlin::Serialize;

// Of every request but those that carry messages. To be looked at before the request is parsed: as
// a message it takes many times as much memory.
inline constexpr size_t kMaxRequestBytes = 1u << 20;

// PAYLOAD_TOO_LARGE beyond the limit.
absl::Status CheckRequestSize(const grpc::ByteBuffer& request);

}  // namespace dunlin::broker
