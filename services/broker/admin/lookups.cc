#include "services/broker/admin/lookups.h"

#include <fmt/format.h>

#include <algorithm>

#include "services/base/status_macros.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/admission/names.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/message_properties.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

// Public statuses of the name rules, as canonical ones.
absl::Status Canonical(const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), status.message());
}

}  // namespace

absl::Status CheckTopicName(const std::string& name_space, const std::string& name) {
  RETURN_IF_ERROR(Canonical(ValidateNamespace(name_space, PublicCode::kIllegalTopic)));
  return Canonical(ValidateTopicName(name));
}

absl::Status CheckGroupName(const std::string& name_space, const std::string& name) {
  RETURN_IF_ERROR(Canonical(ValidateNamespace(name_space, PublicCode::kIllegalConsumerGroup)));
  return Canonical(ValidateGroupName(name));
}

absl::Status CheckQueue(const Topic& topic, uint32_t queue) {
  if (queue < topic.queues()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("topic {} has queues 0 to {}; {} is not one",
                                                topic.name, topic.queues() - 1, queue));
}

absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(const AdminRooms& rooms,
                                                       const std::string& name_space,
                                                       const std::string& name) {
  RETURN_IF_ERROR(CheckTopicName(name_space, name));
  std::shared_ptr<const Topic> topic = rooms.topics.FindTopic(name_space, name);
  if (topic != nullptr) return topic;
  return absl::NotFoundError(fmt::format("there is no topic {}; `dunlinctl topic list` shows all",
                                         QualifiedName(name_space, name)));
}

absl::StatusOr<std::shared_ptr<const Group>> FindGroup(const AdminRooms& rooms,
                                                       const std::string& name_space,
                                                       const std::string& name) {
  RETURN_IF_ERROR(CheckGroupName(name_space, name));
  std::shared_ptr<const Group> group = rooms.topics.FindGroup(name_space, name);
  if (group != nullptr) return group;
  return absl::NotFoundError(
      fmt::format("there is no consumer group {}; `dunlinctl group list` shows all",
                  QualifiedName(name_space, name)));
}

absl::StatusOr<admin::v1::GroupQueueStatus> QueueStatusOf(const AdminRooms& rooms,
                                                          const Group& group, const Topic& topic,
                                                          uint32_t queue) {
  const QueueKey key{topic.id, queue};
  ASSIGN_OR_RETURN(const Progress::Counts counts, rooms.progress.GetCounts(group.id, key));
  const store::QueueBounds bounds = rooms.dispatcher.queues().Bounds(key);
  admin::v1::GroupQueueStatus status;
  status.set_topic(QualifiedName(topic.name_space, topic.name));
  status.set_queue(queue);
  status.set_committed_offset(static_cast<int64_t>(counts.committed.value()));
  status.set_next_offset(static_cast<int64_t>(counts.cursor.value()));
  status.set_max_offset(static_cast<int64_t>(bounds.max.value()));
  const uint64_t undelivered =
      bounds.max > counts.cursor ? bounds.max - std::max(counts.cursor, bounds.min) : 0;
  status.set_lag(
      static_cast<int64_t>(undelivered + counts.waiting + counts.in_flight + counts.retrying));
  status.set_in_flight(static_cast<int64_t>(counts.in_flight));
  status.set_retrying(static_cast<int64_t>(counts.retrying));
  return status;
}

absl::StatusOr<admin::v1::StoredMessage> Shown(const Delivered& found, const Position& place,
                                               LogOffset log_offset) {
  const store::RecordHeader& header = found.message.header();
  ASSIGN_OR_RETURN(const StoredMessage stored,
                   ScanStored(found.message.payload(), header.properties_offset));
  admin::v1::StoredMessage message;
  message.set_message(found.message.payload().data(), found.message.payload().size());
  if (stored.message_id.empty()) {
    // Protobuf merges a field that comes twice.
    std::string properties;
    WireWriter(properties)
        .Bytes(property::kMessageId, PositionId({header.queue, header.queue_offset}));
    WireWriter(*message.mutable_message()).Bytes(message_field::kSystemProperties, properties);
  }
  message.set_queue(place.queue.queue);
  message.set_queue_offset(static_cast<int64_t>(place.offset.value()));
  message.set_log_offset(static_cast<int64_t>(log_offset.value()));
  SetTime(header.store_time, message.mutable_store_time());
  return message;
}

}  // namespace dunlin::broker
