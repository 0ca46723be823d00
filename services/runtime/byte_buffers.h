// Between gRPC's byte buffers, messages and views of bytes.

#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <string_view>

#include "absl/status/status.h"

namespace dunlin {

// The bytes of a buffer in one piece; copies only what gRPC holds in several. Views into it live as
// long as it does.
class FlatBuffer {
 public:
  explicit FlatBuffer(const grpc::ByteBuffer& buffer);
  std::string_view view() const {
    return {reinterpret_cast<const char*>(slice_.begin()), slice_.size()};
  }

 private:
  grpc::Slice slice_;
};

// Parses a whole buffer. INVALID_ARGUMENT when it is no such message.
absl::Status Parse(const grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message);

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message);

// A slice of bytes that `pin` keeps alive: nothing is copied.
grpc::Slice PinnedSlice(std::string_view bytes, std::shared_ptr<const void> pin);
grpc::Slice CopiedSlice(std::string_view bytes);

}  // namespace dunlin
