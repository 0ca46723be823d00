// Admin::TraceMessages: what became of messages, put together from the trace and from how far the
// groups are.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/admin.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/admin/resource_protos.h"

namespace dunlin::broker {
namespace {

using admin::v1::TraceGroup;

admin::v1::TraceEvent::Step StepOf(TraceStep step) {
  switch (step) {
    case TraceStep::kStored:
      return admin::v1::TraceEvent::STORED;
    case TraceStep::kDelivered:
      return admin::v1::TraceEvent::DELIVERED;
    case TraceStep::kAcknowledged:
      return admin::v1::TraceEvent::ACKNOWLEDGED;
    case TraceStep::kRefused:
      return admin::v1::TraceEvent::REFUSED;
    case TraceStep::kInvisibleChanged:
      return admin::v1::TraceEvent::INVISIBLE_CHANGED;
    case TraceStep::kDeadLettered:
      return admin::v1::TraceEvent::DEAD_LETTERED;
  }
  return admin::v1::TraceEvent::STEP_UNSPECIFIED;
}

// Where a group is with the message at `offset`, by what it last saved: a tenth of a second ago.
TraceGroup StateIn(const storage::v1::QueueProgress& progress, QueueOffset offset) {
  TraceGroup group;
  group.set_state(offset.value() < progress.cursor() ? TraceGroup::DONE : TraceGroup::NOT_REACHED);
  uint64_t at = 0;
  for (int i = 0; i < progress.offset_deltas_size(); ++i) {
    at += progress.offset_deltas(i);
    if (at != offset.value()) continue;
    if (i < progress.acknowledged_size() && progress.acknowledged(i)) break;
    group.set_state(TraceGroup::PENDING);
    if (i < progress.attempts_size()) group.set_attempts(progress.attempts(i));
    // Looked at, and in nobody's hands yet.
    if (group.attempts() == 0) group.set_state(TraceGroup::NOT_REACHED);
    break;
  }
  return group;
}

}  // namespace

absl::StatusOr<admin::v1::TraceMessagesResponse> Admin::TraceMessages(
    const admin::v1::GetMessagesRequest& request) {
  ASSIGN_OR_RETURN(admin::v1::GetMessagesResponse found, GetMessages(request));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(rooms_, request.namespace_(), request.topic()));
  admin::v1::TraceMessagesResponse response;
  for (admin::v1::StoredMessage& message : *found.mutable_messages()) {
    admin::v1::MessageTrace& trace = *response.add_traces();
    const QueueKey queue{topic->id, message.queue()};
    const bool stands = message.queue_offset() >= 0;  // in its queue, not yet to come there
    const QueueOffset offset(static_cast<uint64_t>(message.queue_offset()));
    *trace.mutable_message() = std::move(message);
    if (!stands) continue;
    for (const TraceEvent& event : rooms_.trace.Find(queue, offset)) {
      admin::v1::TraceEvent& shown = *trace.add_events();
      shown.set_step(StepOf(event.step));
      SetTime(event.time, shown.mutable_time());
      shown.set_client_id(event.client);
      shown.set_attempt(event.attempt);
      const std::shared_ptr<const Group> group = rooms_.topics.FindGroup(event.group);
      if (group != nullptr) shown.set_group(QualifiedName(group->name_space, group->name));
    }
    for (const std::shared_ptr<const Group>& group : rooms_.topics.Groups()) {
      const absl::StatusOr<storage::v1::QueueProgress> progress =
          rooms_.state.GetProgress(group->id, queue);
      if (absl::IsNotFound(progress.status())) continue;
      RETURN_IF_ERROR(progress.status());
      TraceGroup& shown = *trace.add_groups();
      shown = StateIn(*progress, offset);
      shown.set_group(QualifiedName(group->name_space, group->name));
    }
  }
  return response;
}

}  // namespace dunlin::broker
