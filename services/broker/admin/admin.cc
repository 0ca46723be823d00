#include "services/broker/admin/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/base/version.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/admission/names.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/message_properties.h"
#include "services/broker/wire/position_id.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

constexpr uint32_t kDefaultPage = 100;
constexpr uint32_t kMaxPage = 1000;
constexpr uint32_t kDefaultMessages = 32;
constexpr uint32_t kMaxMessages = 64;

absl::Status CheckQueue(const Topic& topic, uint32_t queue) {
  if (queue < topic.queues()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("topic {} has queues 0 to {}; {} is not one",
                                                topic.name, topic.queues() - 1, queue));
}

// Public statuses of the name rules, as canonical ones.
absl::Status Canonical(const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), status.message());
}

absl::Status CheckTopic(const std::string& name_space, const std::string& name) {
  RETURN_IF_ERROR(Canonical(ValidateNamespace(name_space, PublicCode::kIllegalTopic)));
  return Canonical(ValidateTopicName(name));
}

absl::Status CheckGroup(const std::string& name_space, const std::string& name) {
  RETURN_IF_ERROR(Canonical(ValidateNamespace(name_space, PublicCode::kIllegalConsumerGroup)));
  return Canonical(ValidateGroupName(name));
}

// One page of `all`, which ascends by qualified name; the token is the last name of the page
// before.
template <typename Item>
absl::StatusOr<std::vector<Item>> Page(std::vector<Item> all, uint32_t size,
                                       const std::string& token, std::string& next) {
  if (size > kMaxPage) {
    return absl::InvalidArgumentError(
        fmt::format("a page size of {}; choose 1 to {}", size, kMaxPage));
  }
  const size_t limit = size == 0 ? kDefaultPage : size;
  auto first = std::find_if(all.begin(), all.end(), [&](const Item& item) {
    return QualifiedName(item->name_space, item->name) > token;
  });
  all.erase(all.begin(), first);
  if (all.size() > limit) {
    all.resize(limit);
    next = QualifiedName(all.back()->name_space, all.back()->name);
  }
  return all;
}

// A message as tools see it, standing at `place`; with the id it has by that when it has no other.
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

}  // namespace

absl::StatusOr<std::shared_ptr<const Topic>> Admin::FindTopic(const std::string& name_space,
                                                              const std::string& name) const {
  RETURN_IF_ERROR(CheckTopic(name_space, name));
  std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(name_space, name);
  if (topic != nullptr) return topic;
  return absl::NotFoundError(fmt::format("there is no topic {}; `dunlinctl topic list` shows all",
                                         QualifiedName(name_space, name)));
}

absl::StatusOr<std::shared_ptr<const Group>> Admin::FindGroup(const std::string& name_space,
                                                              const std::string& name) const {
  RETURN_IF_ERROR(CheckGroup(name_space, name));
  std::shared_ptr<const Group> group = rooms_.topics.FindGroup(name_space, name);
  if (group != nullptr) return group;
  return absl::NotFoundError(
      fmt::format("there is no consumer group {}; `dunlinctl group list` shows all",
                  QualifiedName(name_space, name)));
}

absl::StatusOr<admin::v1::Topic> Admin::CreateTopic(const admin::v1::Topic& topic) {
  RETURN_IF_ERROR(CheckTopic(topic.namespace_(), topic.name()));
  ASSIGN_OR_RETURN(TopicTable::TopicSpec spec, SpecOf(topic));
  if (spec.kinds == 0) spec.kinds = KindBit(admin::v1::NORMAL);
  // Clients want a route of one queue at least.
  const uint32_t queues = spec.kinds == kLiteKinds ? 1 : rooms_.config.default_topic_queues();
  if (spec.queues == 0) spec.queues = queues;
  if (topic.permission() == admin::v1::PERMISSION_UNSPECIFIED) spec.access = Access::kReadWrite;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> created, rooms_.topics.CreateTopic(spec));
  return ToProto(*created);
}

absl::StatusOr<admin::v1::Topic> Admin::UpdateTopic(const admin::v1::Topic& topic) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> old,
                   FindTopic(topic.namespace_(), topic.name()));
  ASSIGN_OR_RETURN(TopicTable::TopicSpec spec, SpecOf(topic));
  if (spec.queues == 0) spec.queues = old->queues();
  if (spec.kinds == 0) spec.kinds = old->kinds;
  if (topic.permission() == admin::v1::PERMISSION_UNSPECIFIED) spec.access = old->access;
  if (spec.description.empty()) spec.description = old->description;
  if (!topic.has_lite_expiration_minutes()) spec.lite_expiration = old->lite_expiration;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> updated, rooms_.topics.UpdateTopic(spec));
  if (updated->lite_expiration != old->lite_expiration) rooms_.lite.table().LookAtAll(updated->id);
  rooms_.waiting_room.Nudge(updated->id);
  return ToProto(*updated);
}

absl::StatusOr<admin::v1::GetTopicResponse> Admin::GetTopic(
    const admin::v1::GetTopicRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(request.namespace_(), request.name()));
  admin::v1::GetTopicResponse response;
  *response.mutable_topic() = ToProto(*topic);
  response.set_lite_topics(rooms_.lite.table().CountOf(topic->id));
  std::vector<store::IndexEntry> entry;
  for (uint32_t queue = 0; queue < topic->queues(); ++queue) {
    const QueueKey key{topic->id, queue};
    const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(key);
    admin::v1::QueueStatus& status = *response.add_queues();
    status.set_queue(queue);
    status.set_min_offset(static_cast<int64_t>(bounds.min.value()));
    status.set_max_offset(static_cast<int64_t>(bounds.max.value()));
    status.set_delayed(rooms_.dispatcher.timers().Pending(key));
    if (bounds.min == bounds.max) continue;
    entry.clear();
    RETURN_IF_ERROR(rooms_.dispatcher.queues().Read(key, bounds.max - 1, 1, entry));
    if (entry.empty()) continue;
    const absl::StatusOr<store::RecordView> last = rooms_.log.Read(entry.front().log_offset);
    if (last.ok()) SetTime(last->header().store_time, status.mutable_last_store_time());
  }
  return response;
}

absl::StatusOr<admin::v1::ListTopicsResponse> Admin::ListTopics(
    const admin::v1::ListTopicsRequest& request) {
  admin::v1::ListTopicsResponse response;
  ASSIGN_OR_RETURN(const auto page,
                   Page(rooms_.topics.Topics(), request.page_size(), request.page_token(),
                        *response.mutable_next_page_token()));
  for (const auto& topic : page) *response.add_topics() = ToProto(*topic);
  return response;
}

absl::Status Admin::DeleteTopic(const admin::v1::DeleteTopicRequest& request) {
  RETURN_IF_ERROR(FindTopic(request.namespace_(), request.name()).status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> deleted,
                   rooms_.topics.DeleteTopic(request.namespace_(), request.name()));
  rooms_.lite.subscriptions().DropParent(deleted->id);
  rooms_.lite.table().DropParent(deleted->id);
  rooms_.progress.DropTopic(deleted->id);
  rooms_.waiting_room.Nudge(deleted->id);
  return absl::OkStatus();
}

absl::StatusOr<admin::v1::Group> Admin::CreateGroup(const admin::v1::Group& proto) {
  RETURN_IF_ERROR(CheckGroup(proto.namespace_(), proto.name()));
  RETURN_IF_ERROR(CheckOrder(proto));
  Group group;
  group.max_attempts = rooms_.config.default_max_attempts();
  for (uint32_t delay : rooms_.config.retry_backoff_seconds()) {
    group.retry_delays.push_back(std::chrono::seconds(delay));
  }
  Merge(proto, group);
  RETURN_IF_ERROR(lite_.CheckBindTopic(group));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> created, rooms_.topics.CreateGroup(group));
  return ToProto(*created);
}

absl::StatusOr<admin::v1::Group> Admin::UpdateGroup(const admin::v1::Group& proto) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> old,
                   FindGroup(proto.namespace_(), proto.name()));
  RETURN_IF_ERROR(CheckOrder(proto));
  Group group = *old;
  Merge(proto, group);
  if (group.lite_bind_topic != old->lite_bind_topic || group.lite_exclusive) {
    RETURN_IF_ERROR(lite_.CheckBindTopic(group));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> updated, rooms_.topics.UpdateGroup(group));
  return ToProto(*updated);
}

absl::StatusOr<admin::v1::GroupQueueStatus> Admin::QueueStatusOf(const Group& group,
                                                                 const Topic& topic,
                                                                 uint32_t queue) const {
  const QueueKey key{topic.id, queue};
  ASSIGN_OR_RETURN(const Progress::Counts counts, rooms_.progress.GetCounts(group.id, key));
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(key);
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

absl::StatusOr<admin::v1::GetGroupResponse> Admin::GetGroup(
    const admin::v1::GetGroupRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(request.namespace_(), request.name()));
  admin::v1::GetGroupResponse response;
  *response.mutable_group() = ToProto(*group);
  response.set_lite_subscriptions(rooms_.lite.subscriptions().CountOf(group->id));
  std::vector<storage::v1::QueueProgress> rows;
  // In lightweight topics there may be millions.
  if (group->lite_bind_topic.empty()) {
    ASSIGN_OR_RETURN(rows, rooms_.state.ListProgress(group->id));
  }
  for (const storage::v1::QueueProgress& row : rows) {
    const std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(TopicId(row.topic_id()));
    if (topic == nullptr) continue;
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(*group, *topic, row.queue()));
  }
  const std::string qualified = QualifiedName(group->name_space, group->name);
  for (const ClientInfo& client : rooms_.clients.List()) {
    if (client.group == qualified) response.add_clients(client.client_id);
  }
  return response;
}

absl::StatusOr<admin::v1::ListGroupsResponse> Admin::ListGroups(
    const admin::v1::ListGroupsRequest& request) {
  admin::v1::ListGroupsResponse response;
  ASSIGN_OR_RETURN(const auto page,
                   Page(rooms_.topics.Groups(), request.page_size(), request.page_token(),
                        *response.mutable_next_page_token()));
  for (const auto& group : page) *response.add_groups() = ToProto(*group);
  return response;
}

absl::Status Admin::DeleteGroup(const admin::v1::DeleteGroupRequest& request) {
  RETURN_IF_ERROR(FindGroup(request.namespace_(), request.name()).status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> deleted,
                   rooms_.topics.DeleteGroup(request.namespace_(), request.name()));
  rooms_.lite.subscriptions().DropGroup(deleted->id);
  rooms_.progress.DropGroup(deleted->id);
  return absl::OkStatus();
}

absl::StatusOr<QueueOffset> Admin::TargetOf(const admin::v1::ResetOffsetRequest& request,
                                            QueueKey queue) const {
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(queue);
  switch (request.to_case()) {
    case admin::v1::ResetOffsetRequest::kFirst:
      return bounds.min;
    case admin::v1::ResetOffsetRequest::kLast:
      return bounds.max;
    case admin::v1::ResetOffsetRequest::kTime: {
      ASSIGN_OR_RETURN(const Timestamp time, ToTimestamp(request.time()));
      return rooms_.dispatcher.queues().FindByTime(queue, time);
    }
    case admin::v1::ResetOffsetRequest::kPosition: {
      const int64_t offset = request.position().offset();
      const QueueOffset target(static_cast<uint64_t>(offset));
      if (offset < 0 || target < bounds.min || target > bounds.max) {
        return absl::InvalidArgumentError(
            fmt::format("queue {} has offsets {} to {}; {} is outside", queue.queue,
                        bounds.min.value(), bounds.max.value(), offset));
      }
      return target;
    }
    case admin::v1::ResetOffsetRequest::TO_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("say where to: first, last, a time, or a queue and offset");
}

absl::StatusOr<admin::v1::ResetOffsetResponse> Admin::ResetOffset(
    const admin::v1::ResetOffsetRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(request.namespace_(), request.group()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(request.namespace_(), request.topic()));
  uint32_t first = 0;
  uint32_t end = topic->queues();
  if (!request.lite_topic().empty() || topic->lite()) {
    ASSIGN_OR_RETURN(const QueueKey lite, lite_.QueueOf(*topic, request.lite_topic()));
    first = lite.queue;
    end = first + 1;
  } else if (request.has_position()) {
    first = request.position().queue();
    RETURN_IF_ERROR(CheckQueue(*topic, first));
    end = first + 1;
  }
  admin::v1::ResetOffsetResponse response;
  for (uint32_t queue = first; queue < end; ++queue) {
    const QueueKey key{topic->id, queue};
    ASSIGN_OR_RETURN(const QueueOffset offset, TargetOf(request, key));
    RETURN_IF_ERROR(rooms_.progress.SetOffset(group->id, key, offset));
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(*group, *topic, queue));
  }
  rooms_.waiting_room.Nudge(topic->id, group->id);
  return response;
}

absl::StatusOr<admin::v1::StoredMessage> Admin::ReadPosition(
    const Topic& topic, const admin::v1::Position& position) const {
  if (!rooms_.lite.table().Find(QueueKey{topic.id, position.queue()})) {
    RETURN_IF_ERROR(CheckQueue(topic, position.queue()));
  }
  std::vector<store::IndexEntry> entries;
  const absl::Status read = rooms_.dispatcher.queues().Read(
      {topic.id, position.queue()}, QueueOffset(static_cast<uint64_t>(position.offset())), 1,
      entries);
  if (absl::IsOutOfRange(read)) return absl::NotFoundError(read.message());
  RETURN_IF_ERROR(read);
  if (entries.empty()) {
    return absl::NotFoundError(
        fmt::format("queue {} of {} ends at {}", position.queue(), topic.name, position.offset()));
  }
  ASSIGN_OR_RETURN(const Delivered found, rooms_.taker.ReadEntry(entries.front()));
  return Shown(
      found, {{topic.id, position.queue()}, QueueOffset(static_cast<uint64_t>(position.offset()))},
      found.message.header().log_offset);
}

absl::StatusOr<admin::v1::GetMessagesResponse> Admin::GetByPosition(
    const Topic& topic, const Position& position) const {
  admin::v1::Position place;
  place.set_queue(position.queue.queue);
  place.set_offset(static_cast<int64_t>(position.offset.value()));
  admin::v1::GetMessagesResponse response;
  ASSIGN_OR_RETURN(*response.add_messages(), ReadPosition(topic, place));
  return response;
}

absl::StatusOr<QueueOffset> Admin::OffsetOf(const store::RecordHeader& header) const {
  if ((header.flags & store::kFlagParked) == 0) return header.queue_offset;
  // A delayed message got one when its time came.
  ASSIGN_OR_RETURN(const std::optional<LogOffset> delivery,
                   rooms_.dispatcher.FindDelivery(header.log_offset));
  if (!delivery.has_value()) return QueueOffset(UINT64_MAX);
  ASSIGN_OR_RETURN(const store::RecordView record, rooms_.log.Read(*delivery));
  return record.header().queue_offset;
}

absl::StatusOr<admin::v1::GetMessagesResponse> Admin::GetMessages(
    const admin::v1::GetMessagesRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(request.namespace_(), request.topic()));
  if (request.limit() > kMaxMessages) {
    return absl::InvalidArgumentError(
        fmt::format("a limit of {}; choose 1 to {}", request.limit(), kMaxMessages));
  }
  const size_t limit = request.limit() == 0 ? kDefaultMessages : request.limit();
  admin::v1::GetMessagesResponse response;
  std::vector<LogOffset> candidates;
  switch (request.by_case()) {
    case admin::v1::GetMessagesRequest::kPosition: {
      ASSIGN_OR_RETURN(*response.add_messages(), ReadPosition(*topic, request.position()));
      return response;
    }
    case admin::v1::GetMessagesRequest::kMessageId: {
      // One that says where its message stands is in no index.
      const std::optional<Position> place = ParsePositionId(request.message_id());
      if (place.has_value() && place->queue.topic == topic->id) {
        return GetByPosition(*topic, *place);
      }
      ASSIGN_OR_RETURN(candidates, rooms_.dispatcher.keys().FindByMessageId(
                                       topic->id, request.message_id(), limit));
      break;
    }
    case admin::v1::GetMessagesRequest::kKey: {
      ASSIGN_OR_RETURN(candidates,
                       rooms_.dispatcher.keys().FindByKey(topic->id, request.key(), limit));
      break;
    }
    case admin::v1::GetMessagesRequest::BY_NOT_SET:
      return absl::InvalidArgumentError("say which messages: by message id, key, or position");
  }
  for (LogOffset candidate : candidates) {
    const absl::StatusOr<store::RecordView> record = rooms_.log.Read(candidate);
    if (absl::IsNotFound(record.status())) continue;  // expired meanwhile
    RETURN_IF_ERROR(record.status());
    const store::RecordHeader& header = record->header();
    ASSIGN_OR_RETURN(const Delivered found,
                     rooms_.taker.ReadEntry({header.log_offset, header.length, 0}));
    ASSIGN_OR_RETURN(const StoredMessage stored,
                     ScanStored(found.message.payload(), found.message.header().properties_offset));
    // The index knows hashes only.
    const bool matches =
        request.has_message_id()
            ? stored.message_id == request.message_id()
            : std::find(stored.keys.begin(), stored.keys.end(), request.key()) != stored.keys.end();
    if (!matches) continue;
    ASSIGN_OR_RETURN(const QueueOffset offset, OffsetOf(header));
    ASSIGN_OR_RETURN(*response.add_messages(),
                     Shown(found, {header.queue, offset}, header.log_offset));
  }
  if (response.messages().empty()) {
    return absl::NotFoundError(fmt::format("topic {} has no message with this {}", topic->name,
                                           request.has_message_id() ? "id" : "key"));
  }
  return response;
}

absl::StatusOr<admin::v1::ListLiteTopicsResponse> Admin::ListLiteTopics(
    const admin::v1::ListLiteTopicsRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(request.namespace_(), request.topic()));
  return lite_.List(*topic, request);
}

absl::StatusOr<admin::v1::LiteTopic> Admin::GetLiteTopic(
    const admin::v1::GetLiteTopicRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(request.namespace_(), request.topic()));
  return lite_.Get(*topic, request.lite_topic());
}

admin::v1::ListClientsResponse Admin::ListClients() const {
  admin::v1::ListClientsResponse response;
  for (const ClientInfo& info : rooms_.clients.List()) {
    admin::v1::Client& client = *response.add_clients();
    client.set_client_id(info.client_id);
    client.set_language(info.language);
    client.set_version(info.version);
    client.set_peer(info.peer);
    client.set_client_type(info.client_type);
    client.set_group(info.group);
    for (const std::string& topic : info.topics) client.add_topics(topic);
    SetTime(info.last_seen, client.mutable_last_seen());
  }
  return response;
}

admin::v1::Broker Admin::GetBroker() const {
  admin::v1::Broker broker;
  broker.set_cluster(rooms_.config.cluster_name());
  broker.set_name(rooms_.config.broker_name());
  broker.set_version(std::string(kVersion));
  SetTime(rooms_.started, broker.mutable_start_time());
  broker.set_epoch(rooms_.log.epoch().value());
  broker.set_log_start(static_cast<int64_t>(rooms_.log.start().value()));
  broker.set_appended(static_cast<int64_t>(rooms_.log.end().value()));
  broker.set_written(static_cast<int64_t>(rooms_.log.written().Get().value()));
  broker.set_flushed(static_cast<int64_t>(rooms_.log.flushed().Get().value()));
  broker.set_dispatched(static_cast<int64_t>(rooms_.dispatcher.dispatched().Get().value()));
  int64_t bytes = 0;
  const auto segments = rooms_.log.Segments();
  for (const auto& segment : segments) bytes += static_cast<int64_t>(segment.bytes_on_disk);
  broker.set_segments(static_cast<uint32_t>(segments.size()));
  broker.set_bytes_on_disk(bytes);
  for (const store::DamagedRange& range : rooms_.log.damage()) {
    admin::v1::DamagedRange& damage = *broker.add_damage();
    damage.set_begin(static_cast<int64_t>(range.begin.value()));
    damage.set_end(static_cast<int64_t>(range.end.value()));
  }
  broker.set_damaged_messages(static_cast<int64_t>(rooms_.taker.damaged()));
  broker.set_waiting_polls(static_cast<int64_t>(rooms_.waiting_room.size()));
  const Intake::Counts intake = rooms_.intake.counts();
  broker.set_pending_calls(static_cast<int64_t>(intake.calls));
  broker.set_pending_bytes(static_cast<int64_t>(intake.bytes));
  broker.set_refused_sends(static_cast<int64_t>(intake.refused));
  broker.set_delayed_messages(static_cast<int64_t>(rooms_.dispatcher.timers().Pending()));
  broker.set_lite_topics(static_cast<int64_t>(rooms_.lite.table().size()));
  broker.set_lite_subscriptions(static_cast<int64_t>(rooms_.lite.subscriptions().size()));
  broker.set_disk_full(rooms_.retention.DiskIsFull());
  broker.set_topics(static_cast<uint32_t>(rooms_.topics.Topics().size()));
  broker.set_groups(static_cast<uint32_t>(rooms_.topics.Groups().size()));
  broker.set_clients(static_cast<uint32_t>(rooms_.clients.List().size()));
  return broker;
}

absl::StatusOr<admin::v1::CheckpointResponse> Admin::Checkpoint() {
  RETURN_IF_ERROR(rooms_.dispatcher.Checkpoint());
  admin::v1::CheckpointResponse response;
  response.set_dispatched(static_cast<int64_t>(rooms_.state.GetCheckpoint().dispatched()));
  return response;
}

}  // namespace dunlin::broker
