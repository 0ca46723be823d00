#include "services/broker/admin/offset_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/lite/lite_binding.h"
#include "services/broker/progress/group_queue.h"

namespace dunlin::broker {
namespace {

// What goes through all queues of a topic is not for the millions of a LITE one.
// `group` is the one to be moved.
absl::Status CheckNotLite(const Topic& topic, const Group& group) {
  if (!topic.lite()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("topic {} is of kind LITE: a group is moved in one lightweight topic at a time, "
                  "with `dunlinctl group reset-offset {} --topic {} --lite-topic NAME`",
                  topic.name, group.name, topic.name));
}

}  // namespace

absl::StatusOr<QueueOffset> OffsetAdmin::TargetOf(const admin::v1::ResetOffsetRequest& request,
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

absl::StatusOr<admin::v1::ResetOffsetResponse> OffsetAdmin::Reset(
    const admin::v1::ResetOffsetRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(rooms_, request.namespace_(), request.group()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.topic()));
  uint32_t first = 0;
  uint32_t end = topic->queues();
  if (request.lite_topic().empty()) RETURN_IF_ERROR(CheckNotLite(*topic, *group));
  if (!request.lite_topic().empty()) {
    // Nobody would ever remove what a group that is not bound has there.
    RETURN_IF_ERROR(CheckBinding(*group, *topic));
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
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(rooms_, *group, *topic, queue));
  }
  rooms_.waiting_room.Nudge(topic->id, group->id);
  return response;
}

absl::StatusOr<uint64_t> OffsetAdmin::SkipIn(const Group& group, QueueKey queue, uint64_t count) {
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(queue);
  const Timestamp now = rooms_.clock.Now();
  uint64_t skipped = 0;
  RETURN_IF_ERROR(rooms_.progress.Edit(group.id, queue, rooms_.taker.StartOf(group, queue),
                                       [&](GroupQueue& edited, uint64_t /*lease*/) {
                                         // What has expired is not skipped: it is not there.
                                         edited.Expire(bounds.min, now);
                                         skipped = edited.Skip(count, bounds.max, now);
                                         return absl::OkStatus();
                                       }));
  return skipped;
}

absl::StatusOr<admin::v1::SkipMessagesResponse> OffsetAdmin::Skip(
    const admin::v1::SkipMessagesRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(rooms_, request.namespace_(), request.group()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.topic()));
  RETURN_IF_ERROR(CheckNotLite(*topic, *group));
  uint32_t first = 0;
  uint32_t end = topic->queues();
  if (request.has_queue()) {
    first = request.queue();
    RETURN_IF_ERROR(CheckQueue(*topic, first));
    end = first + 1;
  }
  const uint64_t count = request.count() == 0 ? UINT64_MAX : request.count();
  admin::v1::SkipMessagesResponse response;
  for (uint32_t queue = first; queue < end; ++queue) {
    ASSIGN_OR_RETURN(const uint64_t skipped, SkipIn(*group, {topic->id, queue}, count));
    response.set_skipped(response.skipped() + skipped);
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(rooms_, *group, *topic, queue));
  }
  // What stood behind them may be free now.
  rooms_.waiting_room.Nudge(topic->id, group->id);
  return response;
}

absl::Status OffsetAdmin::CloneTopic(const Group& from, const Group& to, const Topic& topic,
                                     admin::v1::CloneOffsetsResponse& response) {
  for (uint32_t queue = 0; queue < topic.queues(); ++queue) {
    const QueueKey key{topic.id, queue};
    std::optional<QueueOffset> committed;
    RETURN_IF_ERROR(rooms_.progress.Look(from.id, key, [&](const GroupQueue* known) {
      if (known != nullptr) committed = known->committed();
    }));
    if (!committed.has_value()) continue;  // never consumed from
    RETURN_IF_ERROR(rooms_.progress.SetOffset(to.id, key, *committed));
    ASSIGN_OR_RETURN(*response.add_queues(), QueueStatusOf(rooms_, to, topic, queue));
  }
  rooms_.waiting_room.Nudge(topic.id, to.id);
  return absl::OkStatus();
}

absl::StatusOr<admin::v1::CloneOffsetsResponse> OffsetAdmin::Clone(
    const admin::v1::CloneOffsetsRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> from,
                   FindGroup(rooms_, request.namespace_(), request.from_group()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> to,
                   FindGroup(rooms_, request.namespace_(), request.to_group()));
  if (from->id == to->id) {
    return absl::InvalidArgumentError(
        fmt::format("group {} is where it is; name another one to move", from->name));
  }
  admin::v1::CloneOffsetsResponse response;
  std::vector<std::shared_ptr<const Topic>> topics;
  if (!request.topic().empty()) {
    ASSIGN_OR_RETURN(std::shared_ptr<const Topic> topic,
                     FindTopic(rooms_, request.namespace_(), request.topic()));
    RETURN_IF_ERROR(CheckNotLite(*topic, *to));
    topics.push_back(std::move(topic));
  } else if (!from->lite_bind_topic.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("group {} consumes the lightweight topics of {}; a group is moved in one of "
                    "them at a time, with `dunlinctl group reset-offset {} --topic {} --lite-topic "
                    "NAME`",
                    from->name, from->lite_bind_topic, to->name, from->lite_bind_topic));
  } else {
    ASSIGN_OR_RETURN(const std::vector<storage::v1::QueueProgress> rows,
                     rooms_.state.ListProgress(from->id));
    std::set<TopicId> ids;
    for (const storage::v1::QueueProgress& row : rows) ids.insert(TopicId(row.topic_id()));
    for (TopicId id : ids) {
      std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(id);
      if (topic != nullptr) topics.push_back(std::move(topic));
    }
  }
  for (const auto& topic : topics) {
    RETURN_IF_ERROR(CloneTopic(*from, *to, *topic, response));
  }
  if (response.queues().empty()) {
    return absl::NotFoundError(fmt::format(
        "group {} has never consumed {}; nothing was moved", from->name,
        request.topic().empty() ? "anything" : fmt::format("from topic {}", request.topic())));
  }
  return response;
}

}  // namespace dunlin::broker
