#include "operator/controller/keeper.h"

#include <string>

#include "operator/planner/cluster_resource.h"
#include "operator/planner/declared.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

namespace v1 = admin::v1;
using k8s::Json;
using Stub = BrokerAdmin::Stub;

Found FoundOf(const v1::Topic& wanted, const v1::Topic& there) {
  return {.exists = true,
          .differences = DifferencesOf(wanted, there),
          .read_queues = static_cast<int>(there.read_queues())};
}

Found FoundOf(const v1::Group& wanted, const v1::Group& there) {
  return {.exists = true, .differences = DifferencesOf(wanted, there)};
}

// Of a spec that no broker can keep.
Obstacle ObstacleOf(const absl::Status& valid) {
  if (valid.ok()) return {};
  return {.reason = "InvalidSpec", .message = std::string(FromAbsl(valid.message()))};
}

// A request for what the resource is called at brokers, whatever else its spec says.
template <typename Request>
Request Called(const Json& resource) {
  const std::string name = ClusterNameOf(resource);
  const size_t slash = name.find('/');
  Request request;
  if (slash != std::string::npos) request.set_namespace_(name.substr(0, slash));
  request.set_name(slash == std::string::npos ? name : name.substr(slash + 1));
  return request;
}

}  // namespace

const k8s::ResourceType& TopicKeeper::Type() const { return TopicType(); }

absl::StatusOr<Obstacle> TopicKeeper::Prepare(const Json& resource) {
  return ObstacleOf(TopicOf(resource).status());
}

absl::StatusOr<Found> TopicKeeper::Look(const BrokerAt& at, const Json& resource) {
  ASSIGN_OR_RETURN(const v1::Topic wanted, TopicOf(resource));
  const absl::StatusOr<v1::GetTopicResponse> there =
      admin_.Ask(at, &Stub::GetTopic, Called<v1::GetTopicRequest>(resource));
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
  const absl::Status deleted =
      admin_.Ask(at, &Stub::DeleteTopic, Called<v1::DeleteTopicRequest>(resource)).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

const k8s::ResourceType& ConsumerGroupKeeper::Type() const { return ConsumerGroupType(); }

absl::StatusOr<Obstacle> ConsumerGroupKeeper::Prepare(const Json& resource) {
  return ObstacleOf(ConsumerGroupOf(resource).status());
}

absl::StatusOr<Found> ConsumerGroupKeeper::Look(const BrokerAt& at, const Json& resource) {
  ASSIGN_OR_RETURN(v1::Group wanted, ConsumerGroupOf(resource));
  const absl::StatusOr<v1::GetGroupResponse> there =
      admin_.Ask(at, &Stub::GetGroup, Called<v1::GetGroupRequest>(resource));
  if (absl::IsNotFound(there.status())) return Found{};
  RETURN_IF_ERROR(there.status());
  if (BeginsWithLast(resource)) *wanted.mutable_start() = there->group().start();
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
  if (BeginsWithLast(resource)) {
    ASSIGN_OR_RETURN(const v1::GetGroupResponse there,
                     admin_.Ask(at, &Stub::GetGroup, Called<v1::GetGroupRequest>(resource)));
    *request.mutable_group()->mutable_start() = there.group().start();
  }
  ASSIGN_OR_RETURN(const v1::Group updated, admin_.Ask(at, &Stub::UpdateGroup, request));
  return FoundOf(request.group(), updated);
}

absl::Status ConsumerGroupKeeper::Delete(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  const absl::Status deleted =
      admin_.Ask(at, &Stub::DeleteGroup, Called<v1::DeleteGroupRequest>(resource)).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

}  // namespace dunlin::op
