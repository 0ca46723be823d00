#include "services/broker/rpc/call_checks.h"

#include <fmt/format.h>

#include "services/base/status_macros.h"
#include "services/broker/admission/names.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

std::string_view NamespaceOf(const CallContext& call, const v2::Resource& resource) {
  return resource.resource_namespace().empty() ? std::string_view(call.name_space)
                                               : std::string_view(resource.resource_namespace());
}

absl::Status CheckTopicName(const CallContext& call, const v2::Resource& resource) {
  RETURN_IF_ERROR(ValidateNamespace(NamespaceOf(call, resource), PublicCode::kIllegalTopic));
  return ValidateTopicName(resource.name());
}

absl::Status CheckGroupName(const CallContext& call, const v2::Resource& resource) {
  RETURN_IF_ERROR(
      ValidateNamespace(NamespaceOf(call, resource), PublicCode::kIllegalConsumerGroup));
  return ValidateGroupName(resource.name());
}

absl::Status CheckClientId(const CallContext& call) {
  // Kept in tables and traces; a host's name, a process and a number fit.
  constexpr size_t kMaxClientId = 512;
  if (call.client_id.size() > kMaxClientId) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("the client id (x-mq-client-id) has {} bytes; at most {} are "
                                   "allowed",
                                   call.client_id.size(), kMaxClientId));
  }
  if (!call.client_id.empty()) return absl::OkStatus();
  return PublicError(PublicCode::kClientIdRequired,
                     "the header x-mq-client-id is missing or blank; name the client instance");
}

absl::Status CheckCaller(const CallContext& call) {
  RETURN_IF_ERROR(CheckClientId(call));
  return call.caller.status;
}

}  // namespace dunlin::broker
