#include "operator/controller/grpc_calls.h"

namespace dunlin::op {

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
}

void Sign(const Credentials& credentials, grpc::ClientContext& context) {
  if (credentials.empty()) return;
  const std::string date_time = SignedDateTime(std::chrono::system_clock::now());
  context.AddMetadata(kDateTimeHeader, date_time);
  context.AddMetadata(kAuthorizationHeader, Authorization(credentials, date_time));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

}  // namespace dunlin::op
