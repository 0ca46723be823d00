#include "services/broker/rpc/admin_needs.h"

namespace dunlin::broker {
namespace {

namespace v1 = admin::v1;

Need ListNeed(ResourceKind kind) {
  return {.any_of = BitOf(Action::kList), .resource = kind, .all = true};
}

}  // namespace

Needs NeedsOf(const v1::CreateTopicRequest& request) {
  return {TopicNeed(BitOf(Action::kCreate), request.topic().namespace_(), request.topic().name())};
}

Needs NeedsOf(const v1::UpdateTopicRequest& request) {
  return {TopicNeed(BitOf(Action::kUpdate), request.topic().namespace_(), request.topic().name())};
}

Needs NeedsOf(const v1::GetTopicRequest& request) {
  return {TopicNeed(BitOf(Action::kGet), request.namespace_(), request.name())};
}

Needs NeedsOf(const v1::DeleteTopicRequest& request) {
  return {TopicNeed(BitOf(Action::kDelete), request.namespace_(), request.name())};
}

Needs NeedsOf(const v1::ListTopicsRequest& /*request*/) { return {ListNeed(ResourceKind::kTopic)}; }

Needs NeedsOf(const v1::CreateGroupRequest& request) {
  return {GroupNeed(BitOf(Action::kCreate), request.group().namespace_(), request.group().name())};
}

Needs NeedsOf(const v1::UpdateGroupRequest& request) {
  return {GroupNeed(BitOf(Action::kUpdate), request.group().namespace_(), request.group().name())};
}

Needs NeedsOf(const v1::GetGroupRequest& request) {
  return {GroupNeed(BitOf(Action::kGet), request.namespace_(), request.name())};
}

Needs NeedsOf(const v1::DeleteGroupRequest& request) {
  return {GroupNeed(BitOf(Action::kDelete), request.namespace_(), request.name())};
}

Needs NeedsOf(const v1::ListGroupsRequest& /*request*/) { return {ListNeed(ResourceKind::kGroup)}; }

Needs NeedsOf(const v1::ResetOffsetRequest& request) {
  return {GroupNeed(BitOf(Action::kUpdate), request.namespace_(), request.group())};
}

Needs NeedsOf(const v1::SkipMessagesRequest& request) {
  return {GroupNeed(BitOf(Action::kUpdate), request.namespace_(), request.group())};
}

Needs NeedsOf(const v1::CloneOffsetsRequest& request) {
  return {GroupNeed(BitOf(Action::kGet), request.namespace_(), request.from_group()),
          GroupNeed(BitOf(Action::kUpdate), request.namespace_(), request.to_group())};
}

Needs NeedsOf(const v1::ListDeadLettersRequest& /*request*/) {
  return {ListNeed(ResourceKind::kGroup)};
}

Needs NeedsOf(const v1::GetDeadLettersRequest& request) {
  return {GroupNeed(BitOf(Action::kSub), request.namespace_(), request.group())};
}

Needs NeedsOf(const v1::ResendDeadLettersRequest& request) {
  return {GroupNeed(BitOf(Action::kUpdate), request.namespace_(), request.group())};
}

Needs NeedsOf(const v1::PurgeDeadLettersRequest& request) {
  return {GroupNeed(BitOf(Action::kUpdate), request.namespace_(), request.group())};
}

Needs NeedsOf(const v1::ListLiteTopicsRequest& request) {
  return {TopicNeed(BitOf(Action::kGet), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::GetLiteTopicRequest& request) {
  return {TopicNeed(BitOf(Action::kGet), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::GetMessagesRequest& request) {
  return {TopicNeed(BitOf(Action::kSub), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::ListTransactionsRequest& request) {
  return request.topic().empty()
             ? Needs{ListNeed(ResourceKind::kTopic)}
             : Needs{TopicNeed(BitOf(Action::kGet), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::GetTransactionRequest& request) {
  return {TopicNeed(BitOf(Action::kSub), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::ResolveTransactionRequest& request) {
  return {TopicNeed(BitOf(Action::kUpdate), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::RecheckTransactionRequest& request) {
  return {TopicNeed(BitOf(Action::kUpdate), request.namespace_(), request.topic())};
}

Needs NeedsOf(const v1::ListClientsRequest& /*request*/) { return {ClusterNeed(Action::kGet)}; }

Needs NeedsOf(const v1::GetBrokerRequest& /*request*/) { return {ClusterNeed(Action::kGet)}; }

Needs NeedsOf(const v1::CheckpointRequest& /*request*/) { return {ClusterNeed(Action::kUpdate)}; }

Needs NeedsOf(const v1::CreateUserRequest& /*request*/) { return {{.super = true}}; }

Needs NeedsOf(const v1::UpdateUserRequest& /*request*/) { return {{.super = true}}; }

Needs NeedsOf(const v1::GetUserRequest& /*request*/) { return {{.super = true}}; }

Needs NeedsOf(const v1::ListUsersRequest& /*request*/) { return {{.super = true}}; }

Needs NeedsOf(const v1::DeleteUserRequest& /*request*/) { return {{.super = true}}; }

}  // namespace dunlin::broker
