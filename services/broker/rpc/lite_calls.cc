#include "services/broker/rpc/lite_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/admission/names.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/lite/lite_binding.h"
#include "services/broker/rpc/resources.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using Request = v2::SyncLiteSubscriptionRequest;

// What a client is told that it lost, at a time: with the set that it tells every 30 seconds it is
// told what it has still not noticed.
constexpr size_t kMaxCommands = 256;

// Where the group begins in a lightweight topic; nullopt: where it was.
absl::StatusOr<std::optional<QueueOffset>> StartOf(const ServiceContext& services,
                                                   const v2::OffsetOption& option, QueueKey queue) {
  const store::QueueBounds bounds = services.dispatcher.queues().Bounds(queue);
  switch (option.offset_type_case()) {
    case v2::OffsetOption::kPolicy:
      if (option.policy() == v2::OffsetOption::MIN) return bounds.min;
      if (option.policy() == v2::OffsetOption::MAX) return bounds.max;
      return std::nullopt;
    case v2::OffsetOption::kOffset:
      return std::clamp(QueueOffset(static_cast<uint64_t>(std::max<int64_t>(option.offset(), 0))),
                        bounds.min, bounds.max);
    case v2::OffsetOption::kTailN: {
      const auto tail = static_cast<uint64_t>(std::max<int64_t>(option.tail_n(), 0));
      return bounds.max - std::min<uint64_t>(tail, bounds.max - bounds.min);
    }
    case v2::OffsetOption::kTimestamp: {
      ASSIGN_OR_RETURN(const QueueOffset found, services.dispatcher.queues().FindByTime(
                                                    queue, FromUnixMillis(option.timestamp())));
      return found;
    }
    case v2::OffsetOption::OFFSET_TYPE_NOT_SET:
      break;
  }
  return std::nullopt;
}

bool MovesGroup(const Request& request) {
  return request.action() == v2::PARTIAL_ADD && request.has_offset_option();
}

absl::Status CheckOption(const Request& request) {
  const v2::OffsetOption& option = request.offset_option();
  if ((option.has_offset() && option.offset() < 0) ||
      (option.has_tail_n() && option.tail_n() < 0)) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("the group is to begin at {}; use 0 or more",
                                   option.has_offset() ? option.offset() : option.tail_n()));
  }
  if (option.has_policy() && !v2::OffsetOption::Policy_IsValid(option.policy())) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("{} is no place to begin; use LAST, MIN or MAX",
                                   static_cast<int>(option.policy())));
  }
  return absl::OkStatus();
}

absl::StatusOr<LiteSubscriptions::Change> ChangeOf(const ServiceContext& services,
                                                   const CallContext& call,
                                                   const Request& request) {
  RETURN_IF_ERROR(CheckCaller(call));
  RETURN_IF_ERROR(CheckGroup(services, call, request.group()));
  if (!v2::LiteSubscriptionAction_IsValid(request.action())) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("{} is no action; use PARTIAL_ADD, PARTIAL_REMOVE, COMPLETE_ADD "
                                   "or COMPLETE_REMOVE",
                                   static_cast<int>(request.action())));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(services, call, request.topic(), kToSub));
  RETURN_IF_ERROR(CheckIsLite(*topic));
  const std::shared_ptr<const Group> group =
      services.topics.FindGroup(NamespaceOf(call, request.group()), request.group().name());
  if (group == nullptr) return NoBoundGroup(request.group().name(), *topic);
  RETURN_IF_ERROR(CheckBinding(*group, *topic));
  LiteSubscriptions::Change change;
  change.parent = topic->id;
  change.group = group->id;
  change.client_id = call.client_id;
  change.action = static_cast<LiteSubscriptions::Action>(request.action());
  change.exclusive = group->lite_exclusive;
  if (request.has_version()) change.version = request.version();
  const bool adds = request.action() == v2::PARTIAL_ADD || request.action() == v2::COMPLETE_ADD;
  for (const std::string& name : request.lite_topic_set()) {
    // What may not be there is removed without a word.
    if (adds) RETURN_IF_ERROR(ValidateLiteTopicName(name));
    change.names.emplace_back(name);
  }
  if (request.action() == v2::PARTIAL_ADD) RETURN_IF_ERROR(CheckOption(request));
  if (!services.clients.Touch(call.client_id)) {
    return PublicError(PublicCode::kTooManyRequests,
                       "the broker keeps as many clients as it can; try again later");
  }
  return change;
}

absl::Status Apply(ServiceContext& services, const Request& request,
                   const LiteSubscriptions::Change& change) {
  absl::Status begun;
  const auto begin = [&](const LiteTopic& topic) {
    const absl::StatusOr<std::optional<QueueOffset>> start =
        StartOf(services, request.offset_option(), topic.queue);
    begun.Update(start.status());
    if (!start.ok() || !start->has_value()) return;
    begun.Update(services.progress.SetOffset(change.group, topic.queue, **start));
  };
  std::function<void(const LiteTopic&)> prepare;
  if (MovesGroup(request)) prepare = begin;
  ASSIGN_OR_RETURN(const LiteSubscriptions::Outcome outcome,
                   services.lite.Subscribe(change, prepare));
  for (size_t i = 0; i < std::min(outcome.lost.size(), kMaxCommands); ++i) {
    const LiteSubscriptions::Loss& loss = outcome.lost[i];
    v2::TelemetryCommand command;
    command.mutable_notify_unsubscribe_lite_command()->set_lite_topic(loss.name);
    services.command_streams.Send(loss.client_id, command);
  }
  // It may have said good-bye meanwhile.
  if (!services.clients.IsAlive(change.client_id)) {
    services.lite.subscriptions().DropClient(change.client_id);
  }
  return begun;
}

}  // namespace

void SyncLiteSubscription(ServiceContext& services, const CallContext& call, const Request& request,
                          absl::AnyInvocable<void(const absl::Status&)> done) {
  absl::StatusOr<LiteSubscriptions::Change> change = ChangeOf(services, call, request);
  if (!change.ok()) return done(change.status());
  if (!MovesGroup(request)) {
    return done(Apply(services, request, *change));
  }
  auto shared = std::make_shared<absl::AnyInvocable<void(const absl::Status&)>>(std::move(done));
  // The request lives until it is answered; the id of its caller is kept here.
  auto id = std::make_shared<const std::string>(call.client_id);
  change->client_id = *id;
  const absl::Status accepted =
      services.executor.Run([&services, &request, id, change = *std::move(change), shared] {
        (*shared)(Apply(services, request, change));
      });
  if (!accepted.ok()) (*shared)(accepted);
}

}  // namespace dunlin::broker
