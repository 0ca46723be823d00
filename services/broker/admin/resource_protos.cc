#include "services/broker/admin/resource_protos.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

void SetRate(const Rate& rate, admin::v1::Rate& proto) {
  proto.set_messages_per_second(rate.messages);
  proto.set_bytes_per_second(rate.bytes);
}

absl::StatusOr<Timestamp> StartOf(const admin::v1::GroupStart& start, Timestamp now) {
  switch (start.from_case()) {
    case admin::v1::GroupStart::kFirst:
      return Timestamp();
    case admin::v1::GroupStart::kLast:
      return now;
    case admin::v1::GroupStart::kTime: {
      ASSIGN_OR_RETURN(const Timestamp time, ToTimestamp(start.time()));
      // Nothing is older than that.
      return std::max(time, Timestamp());
    }
    case admin::v1::GroupStart::FROM_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("say where the group is to start: first, last, or a time");
}

// Clients ask for these delays: what the broker refuses they would ask for again and again.
absl::Status CheckDelays(const Group& group, const config::v1::BrokerConfig& config) {
  const std::chrono::milliseconds most(config.max_invisible_duration_ms());
  std::chrono::milliseconds longest{0};
  for (std::chrono::milliseconds delay : group.retry_delays) longest = std::max(longest, delay);
  if (group.retry_delays.empty()) longest = group.exponential.max;
  if (longest <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("group {}: a retry delay of {} ms; at most {} ms are allowed "
                  "(broker.max_invisible_duration_ms)",
                  group.name, longest.count(), most.count()));
}

absl::Status CheckOrder(const admin::v1::Group& group) {
  if (!admin::v1::LiteModel_IsValid(group.lite_model())) {
    return absl::InvalidArgumentError(
        fmt::format("{} is no model for lightweight topics; choose LITE_SHARED or LITE_EXCLUSIVE",
                    static_cast<int>(group.lite_model())));
  }
  if (admin::v1::DeliveryOrder_IsValid(group.delivery_order())) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} is no delivery order; choose CONCURRENT or IN_ORDER",
                  static_cast<int>(group.delivery_order())));
}

}  // namespace

void SetTime(Timestamp from, google::protobuf::Timestamp* to) {
  const int64_t millis = ToUnixMillis(from);
  to->set_seconds(millis / 1000);
  to->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
}

absl::StatusOr<Timestamp> ToTimestamp(const google::protobuf::Timestamp& from) {
  using google::protobuf::util::TimeUtil;
  if (from.seconds() < TimeUtil::kTimestampMinSeconds ||
      from.seconds() > TimeUtil::kTimestampMaxSeconds || from.nanos() < 0 ||
      from.nanos() > 999'999'999) {
    return absl::InvalidArgumentError(
        fmt::format("a time of {} s and {} ns after 1970; the years 1 to 9999 can be told",
                    from.seconds(), from.nanos()));
  }
  return FromUnixMillis(from.seconds() * 1000 + from.nanos() / 1'000'000);
}

Rate Changed(Rate rate, const admin::v1::Rate& proto) {
  if (proto.has_messages_per_second()) rate.messages = proto.messages_per_second();
  if (proto.has_bytes_per_second()) rate.bytes = proto.bytes_per_second();
  return rate;
}

TopicRetention Changed(TopicRetention retention, const admin::v1::TopicRetention& proto) {
  if (proto.has_max_age_ms()) retention.max_age = std::chrono::milliseconds(proto.max_age_ms());
  if (proto.has_max_queue_bytes()) retention.max_queue_bytes = proto.max_queue_bytes();
  if (proto.has_consumed()) retention.consumed = proto.consumed();
  return retention;
}

absl::StatusOr<TopicTable::TopicSpec> SpecOf(const admin::v1::Topic& topic) {
  TopicTable::TopicSpec spec;
  spec.name_space = topic.namespace_();
  spec.name = topic.name();
  spec.queues = topic.queues();
  for (int kind : topic.kinds()) {
    if (kind < admin::v1::NORMAL || kind > admin::v1::PRIORITY) {
      return absl::InvalidArgumentError(fmt::format("{} is no kind of message", kind));
    }
    spec.kinds |= KindBit(kind);
  }
  if ((spec.kinds & kLiteKinds) != 0 && spec.kinds != kLiteKinds) {
    return absl::InvalidArgumentError(fmt::format(
        "topic {}: a topic that takes LITE messages takes no others; make two topics", spec.name));
  }
  if (spec.kinds == kLiteKinds && spec.queues > 1) {
    return absl::InvalidArgumentError(
        fmt::format("topic {}: {} queues; the queues of a LITE topic are its lightweight topics, "
                    "leave the number out",
                    spec.name, spec.queues));
  }
  if (topic.permission() < 0 || topic.permission() > admin::v1::READ_WRITE) {
    return absl::InvalidArgumentError(
        fmt::format("{} is no permission", static_cast<int>(topic.permission())));
  }
  spec.access = static_cast<Access>(topic.permission());
  spec.description = topic.description();
  spec.lite_expiration = std::chrono::minutes(topic.lite_expiration_minutes());
  spec.send_rate = Changed(Rate(), topic.send_rate());
  spec.retention = Changed(TopicRetention(), topic.retention());
  spec.compacted = topic.compacted();
  return spec;
}

admin::v1::Topic ToProto(const Topic& topic) {
  admin::v1::Topic proto;
  proto.set_namespace_(topic.name_space);
  proto.set_name(topic.name);
  proto.set_queues(topic.write_queues);
  proto.set_read_queues(topic.queues());
  proto.set_compacted(topic.compacted);
  if (topic.retention.IsSet()) {
    proto.mutable_retention()->set_max_age_ms(topic.retention.max_age.count());
    proto.mutable_retention()->set_max_queue_bytes(topic.retention.max_queue_bytes);
    proto.mutable_retention()->set_consumed(topic.retention.consumed);
  }
  for (int kind = admin::v1::NORMAL; kind <= admin::v1::PRIORITY; ++kind) {
    if (topic.Accepts(kind)) proto.add_kinds(static_cast<admin::v1::MessageKind>(kind));
  }
  proto.set_permission(static_cast<admin::v1::Permission>(topic.access));
  proto.set_description(topic.description);
  proto.set_id(topic.id.value());
  SetTime(topic.created, proto.mutable_create_time());
  SetRate(topic.send_rate, *proto.mutable_send_rate());
  if (topic.lite()) {
    proto.set_lite_expiration_minutes(static_cast<uint32_t>(topic.lite_expiration.count()));
  }
  return proto;
}

absl::Status Merge(const admin::v1::Group& proto, const config::v1::BrokerConfig& config,
                   Timestamp now, Group& group) {
  RETURN_IF_ERROR(CheckOrder(proto));
  group.name_space = proto.namespace_();
  group.name = proto.name();
  if (proto.max_attempts() != 0) group.max_attempts = proto.max_attempts();
  if (proto.has_exponential()) {
    group.retry_delays.clear();
    group.exponential.initial = std::chrono::milliseconds(proto.exponential().initial_ms());
    group.exponential.max = std::chrono::milliseconds(proto.exponential().max_ms());
    group.exponential.multiplier = proto.exponential().multiplier();
  } else if (proto.retry_delays_ms_size() > 0) {
    group.retry_delays.clear();
    for (int64_t delay : proto.retry_delays_ms()) group.retry_delays.emplace_back(delay);
  }
  if (proto.has_description()) group.description = proto.description();
  if (proto.delivery_order() != admin::v1::DELIVERY_ORDER_UNSPECIFIED) {
    group.fifo = proto.delivery_order() == admin::v1::IN_ORDER;
  }
  if (proto.has_priority_factor()) group.priority_factor = proto.priority_factor();
  if (proto.has_start()) {
    ASSIGN_OR_RETURN(group.start, StartOf(proto.start(), now));
  }
  if (proto.has_paused()) group.paused = proto.paused();
  group.rate = Changed(group.rate, proto.rate());
  if (proto.has_max_in_flight()) group.max_in_flight = proto.max_in_flight();
  if (!proto.lite_bind_topic().empty()) group.lite_bind_topic = proto.lite_bind_topic();
  if (proto.lite_model() != admin::v1::LITE_MODEL_UNSPECIFIED) {
    group.lite_exclusive = proto.lite_model() == admin::v1::LITE_EXCLUSIVE;
  }
  return CheckDelays(group, config);
}

admin::v1::Group ToProto(const Group& group) {
  admin::v1::Group proto;
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
  proto.set_description(group.description);
  proto.set_delivery_order(group.fifo ? admin::v1::IN_ORDER : admin::v1::CONCURRENT);
  proto.set_priority_factor(group.priority_factor);
  proto.set_lite_bind_topic(group.lite_bind_topic);
  if (!group.lite_bind_topic.empty()) {
    proto.set_lite_model(group.lite_exclusive ? admin::v1::LITE_EXCLUSIVE : admin::v1::LITE_SHARED);
  }
  proto.set_id(group.id.value());
  SetTime(group.created, proto.mutable_create_time());
  if (group.start == Timestamp()) {
    proto.mutable_start()->set_first(true);
  } else {
    SetTime(group.start, proto.mutable_start()->mutable_time());
  }
  proto.set_paused(group.paused);
  SetRate(group.rate, *proto.mutable_rate());
  proto.set_max_in_flight(group.max_in_flight);
  return proto;
}

}  // namespace dunlin::broker
