// What the caller of each admin command must be allowed. A command without an overload does not
// compile. Pure.

#pragma once

#include "absl/container/inlined_vector.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/access/user.h"

namespace dunlin::broker {

// All of them. Views into the request.
using Needs = absl::InlinedVector<Need, 2>;

Needs NeedsOf(const admin::v1::CreateTopicRequest& request);
Needs NeedsOf(const admin::v1::UpdateTopicRequest& request);
Needs NeedsOf(const admin::v1::GetTopicRequest& request);
Needs NeedsOf(const admin::v1::ListTopicsRequest& request);
Needs NeedsOf(const admin::v1::DeleteTopicRequest& request);
Needs NeedsOf(const admin::v1::CreateGroupRequest& request);
Needs NeedsOf(const admin::v1::UpdateGroupRequest& request);
Needs NeedsOf(const admin::v1::GetGroupRequest& request);
Needs NeedsOf(const admin::v1::ListGroupsRequest& request);
Needs NeedsOf(const admin::v1::DeleteGroupRequest& request);
Needs NeedsOf(const admin::v1::ResetOffsetRequest& request);
Needs NeedsOf(const admin::v1::SkipMessagesRequest& request);
Needs NeedsOf(const admin::v1::CloneOffsetsRequest& request);
Needs NeedsOf(const admin::v1::ListDeadLettersRequest& request);
Needs NeedsOf(const admin::v1::GetDeadLettersRequest& request);
Needs NeedsOf(const admin::v1::ResendDeadLettersRequest& request);
Needs NeedsOf(const admin::v1::PurgeDeadLettersRequest& request);
Needs NeedsOf(const admin::v1::ListLiteTopicsRequest& request);
Needs NeedsOf(const admin::v1::GetLiteTopicRequest& request);
// They tell what is in messages: who may consume the topic may see it.
Needs NeedsOf(const admin::v1::GetMessagesRequest& request);
Needs NeedsOf(const admin::v1::ListTransactionsRequest& request);
Needs NeedsOf(const admin::v1::GetTransactionRequest& request);
Needs NeedsOf(const admin::v1::ResolveTransactionRequest& request);
Needs NeedsOf(const admin::v1::RecheckTransactionRequest& request);
Needs NeedsOf(const admin::v1::ListClientsRequest& request);
Needs NeedsOf(const admin::v1::GetBrokerRequest& request);
Needs NeedsOf(const admin::v1::CheckpointRequest& request);
// Who could make users could make one that may do everything.
Needs NeedsOf(const admin::v1::CreateUserRequest& request);
Needs NeedsOf(const admin::v1::UpdateUserRequest& request);
Needs NeedsOf(const admin::v1::GetUserRequest& request);
Needs NeedsOf(const admin::v1::ListUsersRequest& request);
Needs NeedsOf(const admin::v1::DeleteUserRequest& request);

}  // namespace dunlin::broker
