#include "services/broker/rpc/buffers.h"

#include <fmt/format.h>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

absl::Status CheckRequestSize(const grpc::ByteBuffer& request) {
  if (request.Length() <= kMaxRequestBytes) return absl::OkStatus();
  return PublicError(PublicCode::kPayloadTooLarge,
                     fmt::format("the request has {} bytes; at most {} are allowed",
                                 request.Length(), kMaxRequestBytes));
}

}  // namespace dunlin::broker
