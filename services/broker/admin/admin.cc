#include "services/broker/admin/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/base/version.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/admin/paging.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/wire/position_id.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {
namespace {

constexpr uint32_t kDefaultMessages = 32;
constexpr uint32_t kMaxMessages = 64;

}  // namespace

absl::StatusOr<admin::v1::Topic> Admin::CreateTopic(const admin::v1::Topic& topic) {
  RETURN_IF_ERROR(CheckTopicName(topic.namespace_(), topic.name()));
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
                   FindTopic(rooms_, topic.namespace_(), topic.name()));
  ASSIGN_OR_RETURN(TopicTable::TopicSpec spec, SpecOf(topic));
  if (spec.queues == 0) spec.queues = old->write_queues;
  if (!topic.has_compacted()) spec.compacted = old->compacted;
  spec.retention = Changed(old->retention, topic.retention());
  if (spec.kinds == 0) spec.kinds = old->kinds;
  if (topic.permission() == admin::v1::PERMISSION_UNSPECIFIED) spec.access = old->access;
  if (!topic.has_description()) spec.description = old->description;
  spec.send_rate = Changed(old->send_rate, topic.send_rate());
  if (!topic.has_lite_expiration_minutes()) spec.lite_expiration = old->lite_expiration;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> updated, rooms_.topics.UpdateTopic(spec));
  if (updated->lite_expiration != old->lite_expiration) rooms_.lite.table().LookAtAll(updated->id);
  rooms_.waiting_room.Nudge(updated->id);
  return ToProto(*updated);
}

absl::StatusOr<admin::v1::GetTopicResponse> Admin::GetTopic(
    const admin::v1::GetTopicRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.name()));
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
    status.set_open_transactions(rooms_.dispatcher.transactions().Open(key));
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
    const admin::v1::ListTopicsRequest& request, const Hidden& hidden) {
  admin::v1::ListTopicsResponse response;
  auto topics = rooms_.topics.Topics();
  std::erase_if(topics, [&](const auto& topic) { return hidden(topic->name_space, topic->name); });
  ASSIGN_OR_RETURN(const auto page,
                   Page(std::move(topics), request.page_size(), request.page_token(),
                        *response.mutable_next_page_token()));
  for (const auto& topic : page) *response.add_topics() = ToProto(*topic);
  return response;
}

absl::Status Admin::DeleteTopic(const admin::v1::DeleteTopicRequest& request) {
  RETURN_IF_ERROR(FindTopic(rooms_, request.namespace_(), request.name()).status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> deleted,
                   rooms_.topics.DeleteTopic(request.namespace_(), request.name()));
  rooms_.lite.subscriptions().DropParent(deleted->id);
  rooms_.lite.table().DropParent(deleted->id);
  rooms_.progress.DropTopic(deleted->id);
  rooms_.waiting_room.Nudge(deleted->id);
  return absl::OkStatus();
}

absl::StatusOr<admin::v1::Group> Admin::CreateGroup(const admin::v1::Group& proto) {
  RETURN_IF_ERROR(CheckGroupName(proto.namespace_(), proto.name()));
  Group group;
  group.max_attempts = rooms_.config.default_max_attempts();
  for (uint32_t delay : rooms_.config.retry_backoff_seconds()) {
    group.retry_delays.push_back(std::chrono::seconds(delay));
  }
  RETURN_IF_ERROR(Merge(proto, rooms_.config, rooms_.clock.Now(), group));
  RETURN_IF_ERROR(lite_.CheckBindTopic(group));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> created, rooms_.topics.CreateGroup(group));
  return ToProto(*created);
}

absl::StatusOr<admin::v1::Group> Admin::UpdateGroup(const admin::v1::Group& proto) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> old,
                   FindGroup(rooms_, proto.namespace_(), proto.name()));
  Group group = *old;
  RETURN_IF_ERROR(Merge(proto, rooms_.config, rooms_.clock.Now(), group));
  // The topic may have been deleted since, which is no reason not to pause the group.
  if (group.lite_bind_topic != old->lite_bind_topic ||
      group.lite_exclusive != old->lite_exclusive) {
    RETURN_IF_ERROR(lite_.CheckBindTopic(group));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> updated, rooms_.topics.UpdateGroup(group));
  // It may get messages now that it did not get before.
  rooms_.waiting_room.NudgeGroup(updated->id);
  return ToProto(*updated);
}

absl::StatusOr<admin::v1::GetGroupResponse> Admin::GetGroup(
    const admin::v1::GetGroupRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(rooms_, request.namespace_(), request.name()));
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
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(rooms_, *group, *topic, row.queue()));
  }
  const std::string qualified = QualifiedName(group->name_space, group->name);
  for (const ClientInfo& client : rooms_.clients.List()) {
    if (client.group == qualified) response.add_clients(client.client_id);
  }
  for (const SubscriptionTable::Subscription& known : rooms_.subscriptions.List(group->id)) {
    const std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(known.topic);
    if (topic == nullptr) continue;
    admin::v1::GroupSubscription& subscription = *response.add_subscriptions();
    subscription.set_topic(QualifiedName(topic->name_space, topic->name));
    subscription.set_filter(known.filter);
    for (const std::string& client : known.clients) subscription.add_clients(client);
    subscription.set_refused_client(known.refused_client);
    subscription.set_refused_filter(known.refused_filter);
  }
  return response;
}

absl::StatusOr<admin::v1::ListGroupsResponse> Admin::ListGroups(
    const admin::v1::ListGroupsRequest& request, const Hidden& hidden) {
  admin::v1::ListGroupsResponse response;
  auto groups = rooms_.topics.Groups();
  std::erase_if(groups, [&](const auto& group) { return hidden(group->name_space, group->name); });
  ASSIGN_OR_RETURN(const auto page,
                   Page(std::move(groups), request.page_size(), request.page_token(),
                        *response.mutable_next_page_token()));
  for (const auto& group : page) *response.add_groups() = ToProto(*group);
  return response;
}

absl::Status Admin::DeleteGroup(const admin::v1::DeleteGroupRequest& request) {
  RETURN_IF_ERROR(FindGroup(rooms_, request.namespace_(), request.name()).status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> deleted,
                   rooms_.topics.DeleteGroup(request.namespace_(), request.name()));
  rooms_.lite.subscriptions().DropGroup(deleted->id);
  rooms_.progress.DropGroup(deleted->id);
  rooms_.waiting_room.NudgeGroup(deleted->id);
  return absl::OkStatus();
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
  constexpr uint8_t kWaiting = store::kFlagParked | store::kFlagPrepared;
  if ((header.flags & kWaiting) == 0) return header.queue_offset;
  // A delayed message got one when its time came, a half message when it was committed.
  ASSIGN_OR_RETURN(const std::optional<LogOffset> delivery,
                   rooms_.dispatcher.FindDelivery(header.log_offset));
  if (!delivery.has_value()) return QueueOffset(UINT64_MAX);
  ASSIGN_OR_RETURN(const store::RecordView record, rooms_.log.Read(*delivery));
  return record.header().queue_offset;
}

absl::StatusOr<admin::v1::GetMessagesResponse> Admin::GetMessages(
    const admin::v1::GetMessagesRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.topic()));
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
                   FindTopic(rooms_, request.namespace_(), request.topic()));
  return lite_.List(*topic, request);
}

absl::StatusOr<admin::v1::LiteTopic> Admin::GetLiteTopic(
    const admin::v1::GetLiteTopicRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.topic()));
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
  broker.set_streamed_messages(static_cast<int64_t>(rooms_.cold_reads.messages()));
  broker.set_cold_readers(static_cast<int64_t>(rooms_.cold_reads.readers()));
  broker.set_delayed_messages(static_cast<int64_t>(rooms_.dispatcher.timers().Pending()));
  const store::TransactionIndex::Counts transactions = rooms_.dispatcher.transactions().counts();
  broker.set_open_transactions(static_cast<int64_t>(transactions.open));
  broker.set_parked_transactions(static_cast<int64_t>(transactions.parked));
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
