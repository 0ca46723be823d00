#include "services/broker/admin/resource_protos.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

namespace dunlin::broker {

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
  if (topic.permission() < 0 || topic.permission() > admin::v1::READ_WRITE) {
    return absl::InvalidArgumentError(
        fmt::format("{} is no permission", static_cast<int>(topic.permission())));
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
  spec.access = static_cast<Access>(topic.permission());
  spec.description = topic.description();
  spec.lite_expiration = std::chrono::minutes(topic.lite_expiration_minutes());
  return spec;
}

admin::v1::Topic ToProto(const Topic& topic) {
  admin::v1::Topic proto;
  proto.set_namespace_(topic.name_space);
  proto.set_name(topic.name);
  proto.set_queues(topic.queues());
  for (int kind = admin::v1::NORMAL; kind <= admin::v1::PRIORITY; ++kind) {
    if (topic.Accepts(kind)) proto.add_kinds(static_cast<admin::v1::MessageKind>(kind));
  }
  proto.set_permission(static_cast<admin::v1::Permission>(topic.access));
  proto.set_description(topic.description);
  proto.set_id(topic.id.value());
  SetTime(topic.created, proto.mutable_create_time());
  if (topic.lite()) {
    proto.set_lite_expiration_minutes(static_cast<uint32_t>(topic.lite_expiration.count()));
  }
  return proto;
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

void Merge(const admin::v1::Group& proto, Group& group) {
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
  if (!proto.description().empty()) group.description = proto.description();
  if (proto.delivery_order() != admin::v1::DELIVERY_ORDER_UNSPECIFIED) {
    group.fifo = proto.delivery_order() == admin::v1::IN_ORDER;
  }
  if (!proto.lite_bind_topic().empty()) group.lite_bind_topic = proto.lite_bind_topic();
  if (proto.lite_model() != admin::v1::LITE_MODEL_UNSPECIFIED) {
    group.lite_exclusive = proto.lite_model() == admin::v1::LITE_EXCLUSIVE;
  }
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
  proto.set_lite_bind_topic(group.lite_bind_topic);
  if (!group.lite_bind_topic.empty()) {
    proto.set_lite_model(group.lite_exclusive ? admin::v1::LITE_EXCLUSIVE : admin::v1::LITE_SHARED);
  }
  proto.set_id(group.id.value());
  SetTime(group.created, proto.mutable_create_time());
  return proto;
}

}  // namespace dunlin::broker
