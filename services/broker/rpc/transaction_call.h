// EndTransaction: a producer says how its transaction ended.

#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// `done` is told at once, or on a thread of the broker. Errors: those of the topic;
// INVALID_TRANSACTION_ID (blank, or none of this topic and message), BAD_REQUEST (no resolution
// that is known), those of Resolve (transactions/resolution.h). A resolution that is not specified
// changes nothing: the transaction stays open.
void EndTransaction(ServiceContext& services, const CallContext& call,
                    const apache::rocketmq::v2::EndTransactionRequest& request,
                    absl::AnyInvocable<void(const absl::Status&)> done);

}  // namespace dunlin::broker
