#include "services/broker/topics/topic_rows.h"

#include <atomic>
#include <chrono>

namespace dunlin::broker {
namespace {

void SetRate(const Rate& rate, storage::v1::Rate& proto) {
  proto.set_messages_per_second(rate.messages);
  proto.set_bytes_per_second(rate.bytes);
}

Rate ToRate(const storage::v1::Rate& proto) {
  return {proto.messages_per_second(), proto.bytes_per_second()};
}

}  // namespace

storage::v1::Topic RowOf(const Topic& topic) {
  storage::v1::Topic proto;
  proto.set_id(topic.id.value());
  proto.set_namespace_(topic.name_space);
  proto.set_name(topic.name);
  proto.set_queues(topic.queues());
  for (int32_t kind = 1; kind <= 6; ++kind) {
    if (topic.Accepts(kind)) proto.add_accepted_kinds(kind);
  }
  proto.set_permission(static_cast<int32_t>(topic.access));
  proto.set_created_ms(ToUnixMillis(topic.created));
  proto.set_description(topic.description);
  proto.set_compacted(topic.compacted);
  if (topic.write_queues < topic.queues()) proto.set_write_queues(topic.write_queues);
  if (topic.retention.IsSet()) {
    proto.mutable_retention()->set_max_age_ms(topic.retention.max_age.count());
    proto.mutable_retention()->set_max_queue_bytes(topic.retention.max_queue_bytes);
    proto.mutable_retention()->set_consumed(topic.retention.consumed);
  }
  if (!topic.send_rate.IsNone()) SetRate(topic.send_rate, *proto.mutable_send_rate());
  proto.set_lite_expiration_minutes(static_cast<uint32_t>(topic.lite_expiration.count()));
  return proto;
}

std::shared_ptr<Topic> TopicOf(const storage::v1::Topic& proto) {
  auto topic = std::make_shared<Topic>();
  topic->id = TopicId(proto.id());
  topic->name_space = proto.namespace_();
  topic->name = proto.name();
  for (int32_t kind : proto.accepted_kinds()) topic->kinds |= KindBit(kind);
  topic->access = static_cast<Access>(proto.permission());
  topic->created = FromUnixMillis(proto.created_ms());
  topic->description = proto.description();
  topic->write_queues = proto.write_queues() == 0 ? proto.queues() : proto.write_queues();
  topic->compacted = proto.compacted();
  topic->retention.max_age = std::chrono::milliseconds(proto.retention().max_age_ms());
  topic->retention.max_queue_bytes = proto.retention().max_queue_bytes();
  topic->retention.consumed = proto.retention().consumed();
  topic->lite_expiration = std::chrono::minutes(proto.lite_expiration_minutes());
  topic->turn = std::make_shared<std::atomic<uint32_t>>(0);
  topic->send_rate = ToRate(proto.send_rate());
  return topic;
}

storage::v1::Group RowOf(const Group& group) {
  storage::v1::Group proto;
  proto.set_id(group.id.value());
  proto.set_namespace_(group.name_space);
  proto.set_name(group.name);
  proto.set_max_attempts(group.max_attempts);
  for (std::chrono::milliseconds delay : group.retry_delays) {
    proto.add_retry_delays_ms(delay.count());
  }
  if (group.retry_delays.empty()) {
    proto.mutable_exponential()->set_initial_ms(group.exponential.initial.count());
    proto.mutable_exponential()->set_max_ms(group.exponential.max.count());
    proto.mutable_exponential()->set_multiplier(group.exponential.multiplier);
  }
  proto.set_fifo(group.fifo);
  proto.set_priority_factor(group.priority_factor);
  proto.set_created_ms(ToUnixMillis(group.created));
  proto.set_description(group.description);
  proto.set_start_ms(ToUnixMillis(group.start));
  proto.set_paused(group.paused);
  if (!group.rate.IsNone()) SetRate(group.rate, *proto.mutable_rate());
  proto.set_max_in_flight(group.max_in_flight);
  proto.set_lite_bind_topic(group.lite_bind_topic);
  proto.set_lite_exclusive(group.lite_exclusive);
  return proto;
}

std::shared_ptr<Group> GroupOf(const storage::v1::Group& proto) {
  auto group = std::make_shared<Group>();
  group->id = GroupId(proto.id());
  group->name_space = proto.namespace_();
  group->name = proto.name();
  group->max_attempts = proto.max_attempts();
  for (int64_t delay : proto.retry_delays_ms()) group->retry_delays.emplace_back(delay);
  group->exponential.initial = std::chrono::milliseconds(proto.exponential().initial_ms());
  group->exponential.max = std::chrono::milliseconds(proto.exponential().max_ms());
  group->exponential.multiplier = proto.exponential().multiplier();
  group->fifo = proto.fifo();
  if (proto.has_priority_factor()) group->priority_factor = proto.priority_factor();
  group->created = FromUnixMillis(proto.created_ms());
  group->description = proto.description();
  group->start = FromUnixMillis(proto.start_ms());
  group->paused = proto.paused();
  group->rate = ToRate(proto.rate());
  group->max_in_flight = proto.max_in_flight();
  group->lite_bind_topic = proto.lite_bind_topic();
  group->lite_exclusive = proto.lite_exclusive();
  return group;
}

}  // namespace dunlin::broker
