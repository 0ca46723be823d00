// From names on the wire to topics, groups, filters and leases; makes what may be made on first
// use.

#pragma once

#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/access/permit.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/broker/rpc/call_checks.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// TOPIC_NOT_FOUND, and the way out.
absl::Status NoTopic(std::string_view name);

// What a call is about to do with a topic or group; of several, one that it may is enough.
inline constexpr uint32_t kToPub = BitOf(Action::kPub);
inline constexpr uint32_t kToSub = BitOf(Action::kSub);
inline constexpr uint32_t kToPubOrSub = kToPub | kToSub;

// Whether there may be such a topic, and the caller may do this with it. Errors: ILLEGAL_TOPIC,
// UNAUTHORIZED.
absl::Status CheckTopic(const ServiceContext& services, const CallContext& call,
                        const apache::rocketmq::v2::Resource& resource, uint32_t any_of);
// Whether the caller may consume with the group. Errors: ILLEGAL_CONSUMER_GROUP, UNAUTHORIZED.
absl::Status CheckGroup(const ServiceContext& services, const CallContext& call,
                        const apache::rocketmq::v2::Resource& resource);

// To be asked again of the same caller while a call takes long. A null group: none.
Permit PermitFor(const ServiceContext& services, const CallContext& call, const Topic& topic,
                 uint32_t any_of, const Group* group);

// Errors: as of CheckTopic, TOPIC_NOT_FOUND.
absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(
    const ServiceContext& services, const CallContext& call,
    const apache::rocketmq::v2::Resource& resource, uint32_t any_of);
// Errors: as of CheckGroup, CONSUMER_GROUP_NOT_FOUND.
absl::StatusOr<std::shared_ptr<const Group>> FindGroup(
    const ServiceContext& services, const CallContext& call,
    const apache::rocketmq::v2::Resource& resource);

// Whether a request that is refused here is one for another broker of the cluster: it names one, or
// names none and is about a topic that is not here.
bool IsForAnother(const ServiceContext& services, const CallContext& call, const Destination& to);

// As above, but when broker.auto_create_* allows it the missing one is made first. `then` is called
// exactly once: at once on this thread, or later on the executor's.
using ThenTopic = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const Topic>>)>;
void FindOrCreateTopic(ServiceContext& services, const CallContext& call,
                       const apache::rocketmq::v2::Resource& resource, uint32_t any_of,
                       ThenTopic then);
using ThenGroup = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const Group>>)>;
void FindOrCreateGroup(ServiceContext& services, const CallContext& call,
                       const apache::rocketmq::v2::Resource& resource, ThenGroup then);

// Compiled, or as it was lately. Error: ILLEGAL_FILTER_EXPRESSION.
absl::StatusOr<MessageFilter> FindFilter(ServiceContext& services,
                                         const apache::rocketmq::v2::FilterExpression& expression);

// The handle in `text` if it is one of this topic and group, and of this lightweight topic unless
// that is empty. INVALID_RECEIPT_HANDLE otherwise, also when one of them does not exist: push
// consumers repeat anything else for ever.
absl::StatusOr<ReceiptHandle> FindLease(const ServiceContext& services, const CallContext& call,
                                        const apache::rocketmq::v2::Resource& topic,
                                        const apache::rocketmq::v2::Resource& group,
                                        std::string_view text, std::string_view lite_topic = {});

}  // namespace dunlin::broker
