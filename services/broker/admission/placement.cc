#include "services/broker/admission/placement.h"

#include <fmt/format.h>

#include "services/base/status_macros.h"
#include "services/broker/admission/admission.h"
#include "services/broker/admission/text.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/message_group.h"
#include "services/broker/wire/message_priority.h"

namespace dunlin::broker {
namespace {

// What is wrong, without the value: neighbours have the same fault, and are told of it once.
std::string_view WhatChooses(const Topic& topic, MessageKind kind) {
  if (topic.compacted) return "key";
  return kind == MessageKind::kFifo ? "message group" : "priority";
}

std::string_view RuleOf(const Topic& topic, MessageKind kind) {
  return !topic.compacted && kind == MessageKind::kPriority
             ? "its queue has its number, or is the last"
             : "its queue is the CRC-32C of its bytes modulo the number";
}

}  // namespace

absl::Status CheckTopicTakes(const Topic& topic, MessageKind kind,
                             const MessageProperties& message) {
  RETURN_IF_ERROR(CheckKind(kind, topic.kinds, topic.name));
  // One for dead letters takes every kind, and has no lightweight topics all the same.
  if (kind == MessageKind::kLite && !topic.lite()) {
    return PublicError(PublicCode::kMessagePropertyConflictWithType,
                       fmt::format("the message has a lightweight topic, and topic {} has none; "
                                   "leave the lightweight topic out, or send it to another topic",
                                   Quoted(topic.name)));
  }
  if (!topic.compacted || (!message.keys.empty() && !message.keys.front().empty())) {
    return absl::OkStatus();
  }
  return PublicError(PublicCode::kIllegalMessageKey,
                     fmt::format("topic {} keeps the newest message of each key, and this one has "
                                 "no key; set one",
                                 Quoted(topic.name)));
}

std::optional<uint32_t> QueueOf(const Topic& topic, MessageKind kind,
                                const MessageProperties& message) {
  if (topic.compacted) return QueueOfMessageGroup(message.keys.front(), topic.write_queues);
  if (kind == MessageKind::kFifo) {
    return QueueOfMessageGroup(message.message_group, topic.write_queues);
  }
  if (kind == MessageKind::kPriority) return QueueOfPriority(*message.priority, topic.write_queues);
  return std::nullopt;
}

absl::Status CheckQueue(const Topic& topic, MessageKind kind, const MessageProperties& message,
                        uint32_t queue) {
  const std::optional<uint32_t> chosen = QueueOf(topic, kind, message);
  if (!chosen.has_value() || *chosen == queue) return absl::OkStatus();
  return PublicError(PublicCode::kBadRequest,
                     fmt::format("the {} does not belong into queue {}, which this binding is for: "
                                 "{} of the {} queues that topic {} has now",
                                 WhatChooses(topic, kind), queue, RuleOf(topic, kind),
                                 topic.write_queues, topic.name));
}

}  // namespace dunlin::broker
