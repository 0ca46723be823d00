#include "operator/controller/keeper.h"

#include "operator/planner/declared.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"

namespace dunlin::op {
namespace {

namespace v1 = admin::v1;
using k8s::Json;
using Stub = BrokerAdmin::Stub;

Found FoundOf(const v1::Topic& wanted, const v1::Topic& there) {
  return {.exists = true,
          .differences = DifferencesOf(wanted, there),
          .read_queues = static_cast<int>(there.read_queues()),
          .clients = {}};
}

Found FoundOf(const v1::Group& wanted, const v1::Group& there) {
  return {
      .exists = true, .differences = DifferencesOf(wanted, there), .read_queues = 0, .clients = {}};
}

// A request for what is called like `wanted`.
template <typename Request, typename Wanted>
Request For(const Wanted& wanted) {
  Request request;
  request.set_namespace_(wanted.namespace_());
  request.set_name(wanted.name());
  return request;
}

}  // namespace

const k8s::ResourceType& TopicKeeper::Type() const { return TopicType(); }

absl::Status TopicKeeper::Check(const Json& resource) const { return TopicOf(resource).status(); }

absl::StatusOr<Found> TopicKeeper::Look(const BrokerAt& at, const Json& resource) {
  ASSIGN_OR_RETURN(const v1::Topic wanted, TopicOf(resource));
  const absl::StatusOr<v1::GetTopicResponse> there =
      admin_.Ask(at, &Stub::GetTopic, For<v1::GetTopicRequest>(wanted));
  if (absl::IsNotFound(there.status())) return Found{};
  RETURN_IF_ERROR(there.status());
  return FoundOf(wanted, there->topic());
}

absl::StatusOr<Found> TopicKeeper::Create(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::CreateTopicRequest request;
  ASSIGN_OR_RETURN(*request.mutable_topic(), TopicOf(resource));
  ASSIGN_OR_RETURN(const v1::Topic made, admin_.Ask(at, &Stub::CreateTopic, request));
  return FoundOf(request.topic(), made);
}

absl::StatusOr<Found> TopicKeeper::Update(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::UpdateTopicRequest request;
  ASSIGN_OR_RETURN(*request.mutable_topic(), TopicOf(resource));
  ASSIGN_OR_RETURN(const v1::Topic updated, admin_.Ask(at, &Stub::UpdateTopic, request));
  return FoundOf(request.topic(), updated);
}

absl::Status TopicKeeper::Delete(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  ASSIGN_OR_RETURN(const v1::Topic wanted, TopicOf(resource));
  const absl::Status deleted =
      admin_.Ask(at, &Stub::DeleteTopic, For<v1::DeleteTopicRequest>(wanted)).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

const k8s::ResourceType& ConsumerGroupKeeper::Type() const { return ConsumerGroupType(); }

absl::Status ConsumerGroupKeeper::Check(const Json& resource) const {
  return ConsumerGroupOf(resource).status();
}

absl::StatusOr<Found> ConsumerGroupKeeper::Look(const BrokerAt& at, const Json& resource) {
  ASSIGN_OR_RETURN(const v1::Group wanted, ConsumerGroupOf(resource));
  const absl::StatusOr<v1::GetGroupResponse> there =
      admin_.Ask(at, &Stub::GetGroup, For<v1::GetGroupRequest>(wanted));
  if (absl::IsNotFound(there.status())) return Found{};
  RETURN_IF_ERROR(there.status());
  Found found = FoundOf(wanted, there->group());
  found.clients.insert(there->clients().begin(), there->clients().end());
  return found;
}

absl::StatusOr<Found> ConsumerGroupKeeper::Create(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::CreateGroupRequest request;
  ASSIGN_OR_RETURN(*request.mutable_group(), ConsumerGroupOf(resource));
  ASSIGN_OR_RETURN(const v1::Group made, admin_.Ask(at, &Stub::CreateGroup, request));
  return FoundOf(request.group(), made);
}

absl::StatusOr<Found> ConsumerGroupKeeper::Update(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::UpdateGroupRequest request;
  ASSIGN_OR_RETURN(*request.mutable_group(), ConsumerGroupOf(resource));
  ASSIGN_OR_RETURN(const v1::Group updated, admin_.Ask(at, &Stub::UpdateGroup, request));
  return FoundOf(request.group(), updated);
}

absl::Status ConsumerGroupKeeper::Delete(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  ASSIGN_OR_RETURN(const v1::Group wanted, ConsumerGroupOf(resource));
  const absl::Status deleted =
      admin_.Ask(at, &Stub::DeleteGroup, For<v1::DeleteGroupRequest>(wanted)).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

}  // namespace dunlin::op
