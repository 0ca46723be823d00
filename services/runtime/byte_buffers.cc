#include "services/runtime/byte_buffers.h"

#include <utility>

namespace dunlin {

FlatBuffer::FlatBuffer(const grpc::ByteBuffer& buffer) {
  if (!buffer.TrySingleSlice(&slice_).ok() && !buffer.DumpToSingleSlice(&slice_).ok()) {
    slice_ = grpc::Slice();  // an empty buffer has no slices at all
  }
}

absl::Status Parse(const grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message) {
  const FlatBuffer flat(buffer);
  if (!message.ParseFromArray(flat.view().data(), static_cast<int>(flat.view().size()))) {
    return absl::InvalidArgumentError("the request is not a message of the contract");
  }
  return absl::OkStatus();
}

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.ByteSizeLong());
  auto* bytes = const_cast<uint8_t*>(slice.begin());
  message.SerializeWithCachedSizesToArray(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

grpc::Slice PinnedSlice(std::string_view bytes, std::shared_ptr<const void> pin) {
  auto* owner = new std::shared_ptr<const void>(std::move(pin));
  return grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* kept) { delete static_cast<std::shared_ptr<const void>*>(kept); }, owner);
}

grpc::Slice CopiedSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

}  // namespace dunlin
