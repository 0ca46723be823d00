#include "services/broker/rpc/client_calls.h"

#include <fmt/format.h>

#include <chrono>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// What a consumer that has gone held becomes visible to others after this.
constexpr std::chrono::seconds kReleaseDelay{1};

bool IsConsumer(v2::ClientType type) {
  switch (type) {
    case v2::PUSH_CONSUMER:
    case v2::SIMPLE_CONSUMER:
    case v2::PULL_CONSUMER:
    case v2::LITE_PUSH_CONSUMER:
    case v2::LITE_SIMPLE_CONSUMER:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status Heartbeat(ServiceContext& services, const CallContext& call,
                       const v2::HeartbeatRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  ClientInfo info;
  if (const auto known = services.clients.Find(call.client_id); known.has_value()) info = *known;
  info.client_id = call.client_id;
  info.language = call.language;
  info.version = call.version;
  info.peer = call.peer;
  info.client_type = request.client_type();
  if (IsConsumer(request.client_type())) {
    RETURN_IF_ERROR(CheckGroup(services, call, request.group()));
    info.group = QualifiedName(NamespaceOf(call, request.group()), request.group().name());
  } else if (request.client_type() != v2::PRODUCER) {
    return PublicError(PublicCode::kUnrecognizedClientType,
                       fmt::format("client type {} is not one of a producer or consumer",
                                   static_cast<int>(request.client_type())));
  }
  if (!services.clients.Update(info)) {
    return PublicError(PublicCode::kTooManyRequests,
                       "the broker keeps as many clients as it can; try again later");
  }
  return absl::OkStatus();
}

absl::Status Terminate(ServiceContext& services, const CallContext& call,
                       const v2::NotifyClientTerminationRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  // Producers of some SDKs send a group without a name.
  if (request.has_group() && !request.group().name().empty()) {
    RETURN_IF_ERROR(CheckGroup(services, call, request.group()));
  }
  services.clients.Remove(call.client_id);
  services.lite.subscriptions().DropClient(call.client_id);
  services.progress.ReleaseClients({call.client_id}, kReleaseDelay);
  return absl::OkStatus();
}

}  // namespace dunlin::broker
