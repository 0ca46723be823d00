#include "services/broker/rpc/offset_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

absl::Status CheckBroker(const ServiceContext& services, const v2::MessageQueue& queue) {
  const std::string& named = queue.broker().name();
  if (services.others == nullptr || named.empty() || named == services.config.broker_name()) {
    return absl::OkStatus();
  }
  return PublicError(PublicCode::kHaNotAvailable,
                     fmt::format("the queue is one of broker {}, and this is {}; ask for the route "
                                 "again, and go there",
                                 named, services.config.broker_name()));
}

absl::StatusOr<QueueKey> FindQueue(const ServiceContext& services, const CallContext& call,
                                   const v2::MessageQueue& queue) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(services, call, queue.topic(), kToSub));
  if (queue.id() < 0 || static_cast<uint32_t>(queue.id()) >= topic->queues()) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("topic {} has queues 0 to {}; {} is not one of them",
                                   topic->name, topic->queues() - 1, queue.id()));
  }
  return QueueKey{topic->id, static_cast<uint32_t>(queue.id())};
}

void UpdateOffset(ServiceContext& services, const CallContext& call,
                  const v2::UpdateOffsetRequest& request,
                  absl::AnyInvocable<void(const absl::Status&)> done) {
  if (const absl::Status known = CheckCaller(call); !known.ok()) return done(known);
  if (const absl::Status ours = CheckBroker(services, request.message_queue()); !ours.ok()) {
    return done(ours);
  }
  const absl::StatusOr<QueueKey> queue = FindQueue(services, call, request.message_queue());
  if (!queue.ok()) return done(queue.status());
  const store::QueueBounds bounds = services.dispatcher.queues().Bounds(*queue);
  if (request.offset() < 0 || QueueOffset(request.offset()) < bounds.min ||
      QueueOffset(request.offset()) > bounds.max) {
    return done(PublicError(PublicCode::kIllegalOffset,
                            fmt::format("offset {} is outside the queue, which holds {} to {}",
                                        request.offset(), bounds.min.value(), bounds.max.value())));
  }
  FindOrCreateGroup(
      services, call, request.group(),
      [&services, queue = *queue, offset = QueueOffset(request.offset()),
       done = std::move(done)](absl::StatusOr<std::shared_ptr<const Group>> group) mutable {
        if (!group.ok()) return done(group.status());
        const absl::Status set = services.progress.SetOffset((*group)->id, queue, offset);
        // What became deliverable again is none of the events that polls wait for.
        if (set.ok()) services.waiting_room.Nudge(queue.topic, (*group)->id);
        done(set);
      });
}

absl::StatusOr<int64_t> GetOffset(ServiceContext& services, const CallContext& call,
                                  const v2::GetOffsetRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  RETURN_IF_ERROR(CheckBroker(services, request.message_queue()));
  ASSIGN_OR_RETURN(const QueueKey queue, FindQueue(services, call, request.message_queue()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Group> group,
                   FindGroup(services, call, request.group()));
  ASSIGN_OR_RETURN(const QueueOffset offset, services.progress.CommittedOffset(group->id, queue));
  return static_cast<int64_t>(offset.value());
}

absl::StatusOr<int64_t> QueryOffset(ServiceContext& services, const CallContext& call,
                                    const v2::QueryOffsetRequest& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  RETURN_IF_ERROR(CheckBroker(services, request.message_queue()));
  ASSIGN_OR_RETURN(const QueueKey queue, FindQueue(services, call, request.message_queue()));
  const store::QueueBounds bounds = services.dispatcher.queues().Bounds(queue);
  switch (request.query_offset_policy()) {
    case v2::BEGINNING:
      return static_cast<int64_t>(bounds.min.value());
    case v2::END:
      return static_cast<int64_t>(bounds.max.value());
    case v2::TIMESTAMP: {
      if (!request.has_timestamp()) {
        return PublicError(PublicCode::kBadRequest,
                           "query_offset_policy TIMESTAMP needs a timestamp");
      }
      const int64_t millis =
          request.timestamp().seconds() * 1000 + request.timestamp().nanos() / 1'000'000;
      ASSIGN_OR_RETURN(const QueueOffset offset,
                       services.dispatcher.queues().FindByTime(queue, FromUnixMillis(millis)));
      return static_cast<int64_t>(offset.value());
    }
    default:
      return PublicError(PublicCode::kBadRequest,
                         fmt::format("query_offset_policy {} is not BEGINNING, END or TIMESTAMP",
                                     static_cast<int>(request.query_offset_policy())));
  }
}

}  // namespace dunlin::broker
