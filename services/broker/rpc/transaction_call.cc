#include "services/broker/rpc/transaction_call.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/transactions/resolution.h"
#include "services/broker/transactions/transaction_id.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

absl::StatusOr<Ending> Check(const ServiceContext& services, const CallContext& call,
                             const v2::EndTransactionRequest& request) {
  RETURN_IF_ERROR(CheckClientId(call));
  ASSIGN_OR_RETURN(const TransactionId id, DecodeTransactionId(request.transaction_id()));
  Ending ending;
  ASSIGN_OR_RETURN(ending.topic, FindTopic(services, call, request.topic()));
  if (id.topic != ending.topic->id) {
    return PublicError(
        PublicCode::kInvalidTransactionId,
        fmt::format("the transaction is one of another topic, not {}", ending.topic->name));
  }
  const std::string& message = request.message_id();
  if (!message.empty() && id != MakeTransactionId(id.topic, id.half, message)) {
    return PublicError(PublicCode::kInvalidTransactionId,
                       "the transaction is that of a message with another message id");
  }
  if (!v2::TransactionResolution_IsValid(request.resolution())) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("{} is no resolution; choose COMMIT or ROLLBACK",
                                   static_cast<int>(request.resolution())));
  }
  ending.transaction = id.half;
  ending.commit = request.resolution() == v2::COMMIT;
  return ending;
}

}  // namespace

void EndTransaction(ServiceContext& services, const CallContext& call,
                    const v2::EndTransactionRequest& request,
                    absl::AnyInvocable<void(const absl::Status&)> done) {
  absl::StatusOr<Ending> ending = Check(services, call, request);
  if (!ending.ok()) return done(ending.status());
  const bool decided = request.resolution() != v2::TRANSACTION_RESOLUTION_UNSPECIFIED;
  auto shared = std::make_shared<EndingDone>(std::move(done));
  const absl::Status accepted =
      services.executor.Run([&services, decided, ending = *std::move(ending), shared] {
        const auto tell = [shared](const absl::Status& status) { (*shared)(status); };
        if (decided) return Resolve(services.log, services.dispatcher, ending, tell);
        tell(FindTransaction(services.log, services.dispatcher, ending.transaction).status());
      });
  if (!accepted.ok()) (*shared)(accepted);
}

}  // namespace dunlin::broker
