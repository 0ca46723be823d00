#include "services/broker/rpc/transaction_call.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/transactions/resolution.h"
#include "services/broker/transactions/transaction_id.h"
#include "services/store/index/transaction.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

absl::StatusOr<Ending> Check(const ServiceContext& services, const CallContext& call,
                             const v2::EndTransactionRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  ASSIGN_OR_RETURN(const TransactionId id, DecodeTransactionId(request.transaction_id()));
  if (services.IsOfAnother(id.broker)) {
    return PublicError(PublicCode::kInvalidTransactionId,
                       fmt::format("the transaction is one of another broker, and this is {}",
                                   services.config.broker_name()));
  }
  Ending ending;
  ASSIGN_OR_RETURN(ending.topic, FindTopic(services, call, request.topic(), kToPub));
  if (id.topic != ending.topic->id) {
    return PublicError(
        PublicCode::kInvalidTransactionId,
        fmt::format("the transaction is one of another topic, not {}", ending.topic->name));
  }
  const std::string& message = request.message_id();
  if (!message.empty() && id != MakeTransactionId(id.topic, id.half, message, id.broker)) {
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
  if (request.resolution() != v2::TRANSACTION_RESOLUTION_UNSPECIFIED) {
    return Resolve(services.log, services.transactions, *std::move(ending), std::move(done));
  }
  services.transactions.Find(
      ending->transaction,
      [done = std::move(done)](const absl::StatusOr<store::Transaction>& found) mutable {
        done(found.status());
      });
}

}  // namespace dunlin::broker
