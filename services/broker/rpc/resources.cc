#include "services/broker/rpc/resources.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/settings.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// MessageType NORMAL.
constexpr int32_t kNormal = 1;

absl::Status NoGroup(std::string_view name) {
  return PublicError(
      PublicCode::kConsumerGroupNotFound,
      fmt::format("there is no consumer group {}; make it with `dunlinctl group create {}` or "
                  "switch on broker.auto_create_groups",
                  name, name));
}

bool HasQueue(const ServiceContext& services, const Topic& topic, const ReceiptHandle& handle,
              std::string_view lite_topic) {
  if (!IsLite(handle.queue)) return handle.queue.queue < topic.queues();
  const LiteTable::Pin pin = services.lite.table().Find(handle.queue);
  return pin && (lite_topic.empty() || lite_topic == pin->name);
}

}  // namespace

absl::Status NoTopic(std::string_view name) {
  return PublicError(
      PublicCode::kTopicNotFound,
      fmt::format("there is no topic {}; make it with `dunlinctl topic create {}` or switch on "
                  "broker.auto_create_topics",
                  name, name));
}

absl::Status CheckTopic(const ServiceContext& services, const CallContext& call,
                        const v2::Resource& resource, uint32_t any_of) {
  RETURN_IF_ERROR(CheckTopicName(call, resource));
  return services.access.Check(call.caller,
                               TopicNeed(any_of, NamespaceOf(call, resource), resource.name()));
}

absl::Status CheckGroup(const ServiceContext& services, const CallContext& call,
                        const v2::Resource& resource) {
  RETURN_IF_ERROR(CheckGroupName(call, resource));
  return services.access.Check(call.caller,
                               GroupNeed(kToSub, NamespaceOf(call, resource), resource.name()));
}

Permit PermitFor(const ServiceContext& services, const CallContext& call, const Topic& topic,
                 uint32_t any_of, const Group* group) {
  if (!services.access.enabled()) return {};
  Permit permit(services.access, call.caller);
  permit.Add(TopicNeed(any_of, topic.name_space, topic.name));
  if (group != nullptr) permit.Add(GroupNeed(kToSub, group->name_space, group->name));
  return permit;
}

absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(const ServiceContext& services,
                                                       const CallContext& call,
                                                       const v2::Resource& resource,
                                                       uint32_t any_of) {
  RETURN_IF_ERROR(CheckTopic(services, call, resource, any_of));
  std::shared_ptr<const Topic> topic =
      services.topics.FindTopic(NamespaceOf(call, resource), resource.name());
  if (topic == nullptr) return NoTopic(resource.name());
  return topic;
}

absl::StatusOr<std::shared_ptr<const Group>> FindGroup(const ServiceContext& services,
                                                       const CallContext& call,
                                                       const v2::Resource& resource) {
  RETURN_IF_ERROR(CheckGroup(services, call, resource));
  std::shared_ptr<const Group> group =
      services.topics.FindGroup(NamespaceOf(call, resource), resource.name());
  if (group == nullptr) return NoGroup(resource.name());
  return group;
}

bool IsForAnother(const ServiceContext& services, const CallContext& call, const Destination& to) {
  if (services.others == nullptr || !CheckCaller(call).ok()) return false;
  if (!to.NamesNone()) return !to.Means(services.config.broker_name());
  return CheckTopicName(call, to.topic).ok() &&
         services.topics.FindTopic(NamespaceOf(call, to.topic), to.topic.name()) == nullptr;
}

void FindOrCreateTopic(ServiceContext& services, const CallContext& call,
                       const v2::Resource& resource, uint32_t any_of, ThenTopic then) {
  absl::StatusOr<std::shared_ptr<const Topic>> found = FindTopic(services, call, resource, any_of);
  if (!services.config.auto_create_topics() ||
      CodeOf(found.status()) != PublicCode::kTopicNotFound) {
    return then(std::move(found));
  }
  TopicTable::TopicSpec spec;
  spec.name_space = std::string(NamespaceOf(call, resource));
  spec.name = resource.name();
  spec.queues = services.config.default_topic_queues();
  spec.kinds = KindBit(kNormal);
  spec.description = "made at first use";
  auto shared = std::make_shared<ThenTopic>(std::move(then));
  const absl::Status accepted = services.executor.Run([&services, spec, shared] {
    absl::StatusOr<std::shared_ptr<const Topic>> created = services.topics.CreateTopic(spec);
    if (absl::IsAlreadyExists(created.status())) {
      created = services.topics.FindTopic(spec.name_space, spec.name);
      if (*created == nullptr) created = NoTopic(spec.name);
    }
    (*shared)(std::move(created));
  });
  if (!accepted.ok()) (*shared)(accepted);
}

void FindOrCreateGroup(ServiceContext& services, const CallContext& call,
                       const v2::Resource& resource, ThenGroup then) {
  absl::StatusOr<std::shared_ptr<const Group>> found = FindGroup(services, call, resource);
  if (!services.config.auto_create_groups() ||
      CodeOf(found.status()) != PublicCode::kConsumerGroupNotFound) {
    return then(std::move(found));
  }
  Group group = DefaultGroup(services.config, NamespaceOf(call, resource), resource.name());
  group.description = "made at first use";
  auto shared = std::make_shared<ThenGroup>(std::move(then));
  const absl::Status accepted = services.executor.Run([&services, group, shared] {
    absl::StatusOr<std::shared_ptr<const Group>> created = services.topics.CreateGroup(group);
    if (absl::IsAlreadyExists(created.status())) {
      created = services.topics.FindGroup(group.name_space, group.name);
      if (*created == nullptr) created = NoGroup(group.name);
    }
    (*shared)(std::move(created));
  });
  if (!accepted.ok()) (*shared)(accepted);
}

absl::StatusOr<MessageFilter> FindFilter(ServiceContext& services,
                                         const v2::FilterExpression& expression) {
  return services.filters.Get(expression.type(), expression.expression());
}

absl::StatusOr<ReceiptHandle> FindLease(const ServiceContext& services, const CallContext& call,
                                        const v2::Resource& topic, const v2::Resource& group,
                                        std::string_view text, std::string_view lite_topic) {
  ASSIGN_OR_RETURN(const ReceiptHandle handle, DecodeReceiptHandle(text));
  if (services.IsOfAnother(handle.broker)) {
    return PublicError(PublicCode::kInvalidReceiptHandle,
                       fmt::format("the message was received from another broker, and this is {}",
                                   services.config.broker_name()));
  }
  const std::shared_ptr<const Topic> known_topic =
      services.topics.FindTopic(NamespaceOf(call, topic), topic.name());
  const std::shared_ptr<const Group> known_group =
      services.topics.FindGroup(NamespaceOf(call, group), group.name());
  if (known_topic == nullptr || known_group == nullptr || known_topic->id != handle.queue.topic ||
      known_group->id != handle.group || !HasQueue(services, *known_topic, handle, lite_topic)) {
    return PublicError(
        PublicCode::kInvalidReceiptHandle,
        fmt::format("the receipt handle does not belong to topic {} and group {}: either they were "
                    "deleted since, or it was received under other names, or in another "
                    "lightweight topic",
                    topic.name(), group.name()));
  }
  return handle;
}

}  // namespace dunlin::broker
