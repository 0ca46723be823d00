#include "services/broker/rpc/recall_call.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/admission/admission.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/timers/recall.h"
#include "services/broker/timers/recall_handle.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

absl::StatusOr<RecallHandle> Check(const ServiceContext& services, const CallContext& call,
                                   const v2::RecallMessageRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  const absl::StatusOr<RecallHandle> decoded = DecodeRecallHandle(request.recall_handle());
  if (decoded.ok() && !decoded->broker.empty() &&
      decoded->broker != services.config.broker_name()) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("the message is at broker {}, and this is {}: recall it there, "
                                   "or at a name service, which passes it on",
                                   decoded->broker, services.config.broker_name()));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(services, call, request.topic(), kToPub));
  RETURN_IF_ERROR(CheckKind(MessageKind::kDelay, topic->kinds, topic->name));
  if (!decoded.ok()) return decoded.status();
  const RecallHandle& handle = *decoded;
  if (handle.topic != topic->id) {
    return PublicError(
        PublicCode::kBadRequest,
        fmt::format("the recall handle is of a message of another topic, not {}", topic->name));
  }
  return handle;
}

}  // namespace

void RecallMessage(ServiceContext& services, const CallContext& call,
                   const v2::RecallMessageRequest& request,
                   absl::AnyInvocable<void(const absl::StatusOr<std::string>&)> done) {
  absl::StatusOr<RecallHandle> handle = Check(services, call, request);
  if (!handle.ok()) return done(handle.status());
  using Done = absl::AnyInvocable<void(const absl::StatusOr<std::string>&)>;
  auto shared = std::make_shared<Done>(std::move(done));
  const absl::Status accepted =
      services.executor.Run([&services, handle = *std::move(handle), shared] {
        const absl::Status recalled =
            Recall(services.log, services.dispatcher, handle.timer, handle.topic);
        if (!recalled.ok()) return (*shared)(recalled);
        (*shared)(handle.message_id);
      });
  if (!accepted.ok()) (*shared)(accepted);
}

}  // namespace dunlin::broker
