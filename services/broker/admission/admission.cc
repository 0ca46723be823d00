#include "services/broker/admission/admission.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/admission/names.h"
#include "services/broker/admission/text.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

absl::Status CheckBody(const RawMessage& message, const Limits& limits) {
  if (message.body.empty()) {
    return PublicError(PublicCode::kMessageBodyEmpty, "the body is empty; send at least one byte");
  }
  if (message.body.size() > limits.max_body_bytes) {
    return PublicError(
        PublicCode::kMessageBodyTooLarge,
        fmt::format("the body has {} bytes; at most {} are allowed: split or compress it",
                    message.body.size(), limits.max_body_bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckMessageGroup(std::string_view group, const Limits& limits) {
  if (group.empty()) return absl::OkStatus();
  if (IsBlank(group)) {
    return PublicError(PublicCode::kIllegalMessageGroup,
                       "the message group is blank; name one or leave it out");
  }
  if (HasControlCharacter(group)) {
    return PublicError(PublicCode::kIllegalMessageGroup,
                       fmt::format("the message group {} has a control character", Quoted(group)));
  }
  if (group.size() > limits.max_message_group_bytes) {
    return PublicError(PublicCode::kIllegalMessageGroup,
                       fmt::format("the message group {} has {} bytes; at most {} are allowed",
                                   Quoted(group), group.size(), limits.max_message_group_bytes));
  }
  return absl::OkStatus();
}

// The group is what makes a message FIFO; one that only says so would be stored without an order.
absl::Status CheckSaysFifo(const RawMessage& message) {
  if (message.message_type != static_cast<int32_t>(MessageKind::kFifo) ||
      !message.message_group.empty()) {
    return absl::OkStatus();
  }
  return PublicError(PublicCode::kMessagePropertyConflictWithType,
                     "the message says that it is FIFO and has no message group; set one, or send "
                     "it as NORMAL");
}

absl::Status CheckDeliveryTime(const RawMessage& message, const Limits& limits, Timestamp now) {
  if (!message.delivery_time.has_value()) return absl::OkStatus();
  const std::chrono::milliseconds delay = *message.delivery_time - now;
  if (delay <= limits.max_delay) return absl::OkStatus();
  return PublicError(PublicCode::kIllegalDeliveryTime,
                     fmt::format("the message is to be delivered {} ms from now; at most {} ms are "
                                 "allowed",
                                 delay.count(), limits.max_delay.count()));
}

absl::Status CheckUserProperty(const UserProperty& property) {
  if (IsReservedPropertyKey(property.key)) {
    return PublicError(PublicCode::kIllegalMessagePropertyKey,
                       fmt::format("the user property key {} is reserved; choose another one",
                                   Quoted(property.key)));
  }
  if (HasControlCharacter(property.key) || HasControlCharacter(property.value)) {
    return PublicError(PublicCode::kIllegalMessagePropertyKey,
                       fmt::format("user property {} has a control character in its key or value; "
                                   "put binary data into the body",
                                   Quoted(property.key)));
  }
  return absl::OkStatus();
}

absl::Status CheckUserProperties(const RawMessage& message, const Limits& limits) {
  if (message.user_properties.size() > limits.max_user_properties) {
    return PublicError(PublicCode::kMessagePropertiesTooLarge,
                       fmt::format("the message has {} user properties; at most {} are allowed",
                                   message.user_properties.size(), limits.max_user_properties));
  }
  for (const UserProperty& property : message.user_properties) {
    RETURN_IF_ERROR(CheckUserProperty(property));
  }
  return absl::OkStatus();
}

absl::Status CheckTag(std::string_view tag) {
  if (tag.empty()) return absl::OkStatus();
  const bool has_bar = tag.find('|') != std::string_view::npos;
  if (!has_bar && !HasControlCharacter(tag) && !IsBlank(tag)) return absl::OkStatus();
  return PublicError(PublicCode::kIllegalMessageTag,
                     fmt::format("the tag {} {}; choose another one or leave it out", Quoted(tag),
                                 has_bar        ? "has a |, which separates tags in filters"
                                 : IsBlank(tag) ? "is blank"
                                                : "has a control character"));
}

absl::Status CheckKeys(const RawMessage& message) {
  for (const std::string_view key : message.keys) {
    if (key.empty()) continue;
    if (IsBlank(key) || HasControlCharacter(key)) {
      return PublicError(PublicCode::kIllegalMessageKey,
                         fmt::format("the key {} {}", Quoted(key),
                                     IsBlank(key) ? "is blank" : "has a control character"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPropertiesSize(const RawMessage& message, const Limits& limits) {
  size_t bytes = message.tag.size();
  for (const UserProperty& property : message.user_properties) {
    bytes += property.key.size() + property.value.size();
  }
  for (const std::string_view key : message.keys) bytes += key.size();
  if (bytes > limits.max_properties_bytes) {
    return PublicError(PublicCode::kMessagePropertiesTooLarge,
                       fmt::format("user properties, tag and keys have {} bytes together; at most "
                                   "{} are allowed: put the data into the body",
                                   bytes, limits.max_properties_bytes));
  }
  if (message.keys.size() > kMaxKeys) {
    return PublicError(PublicCode::kMessagePropertiesTooLarge,
                       fmt::format("the message has more than {} keys", kMaxKeys));
  }
  return absl::OkStatus();
}

absl::Status CheckMessageId(std::string_view id) {
  if (!IsBlank(id)) return absl::OkStatus();
  return PublicError(PublicCode::kIllegalMessageId,
                     "the message id is blank; the producer chooses one for each message");
}

absl::Status CheckRecovery(const RawMessage& message, const Limits& limits) {
  if (!message.recovery_duration || *message.recovery_duration <= limits.max_recovery) {
    return absl::OkStatus();
  }
  return PublicError(PublicCode::kBadRequest,
                     fmt::format("orphaned_transaction_recovery_duration is {} ms; at most {} ms "
                                 "are allowed",
                                 message.recovery_duration->count(), limits.max_recovery.count()));
}

// A half message gets its place when it is committed, by no other rule.
absl::Status CheckTransaction(const RawMessage& message) {
  if (message.message_type != static_cast<int32_t>(MessageKind::kTransaction)) {
    return absl::OkStatus();
  }
  const char* const second = !message.message_group.empty()      ? "a message group"
                             : message.delivery_time.has_value() ? "a delivery time"
                             : message.priority.has_value()      ? "a priority"
                             : !message.lite_topic.empty()       ? "a lite topic"
                                                                 : nullptr;
  if (second == nullptr) return absl::OkStatus();
  return PublicError(PublicCode::kMessagePropertyConflictWithType,
                     fmt::format("the message is TRANSACTION and has {}; leave that out, or send "
                                 "it without a transaction",
                                 second));
}

// A lightweight topic is a place and an order of its own.
absl::Status CheckLiteTopic(const RawMessage& message, const Limits& limits) {
  if (message.lite_topic.empty()) return absl::OkStatus();
  const char* const second = !message.message_group.empty()      ? "a message group"
                             : message.delivery_time.has_value() ? "a delivery time"
                             : message.priority.has_value()      ? "a priority"
                                                                 : nullptr;
  if (second == nullptr) {
    return ValidateLiteTopicName(message.lite_topic, limits.max_lite_topic_bytes);
  }
  return PublicError(PublicCode::kMessagePropertyConflictWithType,
                     fmt::format("the message has a lightweight topic and {}; leave one of the two "
                                 "out",
                                 second));
}

absl::Status CheckPriority(const RawMessage& message) {
  if (message.priority.value_or(0) >= 0) return absl::OkStatus();
  return PublicError(PublicCode::kBadRequest,
                     fmt::format("the priority is {}; use 0 or more", *message.priority));
}

absl::Status CheckMessage(const RawMessage& message, const Limits& limits, Timestamp now,
                          bool id_required) {
  RETURN_IF_ERROR(CheckBody(message, limits));
  RETURN_IF_ERROR(CheckMessageGroup(message.message_group, limits));
  RETURN_IF_ERROR(CheckSaysFifo(message));
  RETURN_IF_ERROR(CheckTransaction(message));
  RETURN_IF_ERROR(CheckDeliveryTime(message, limits, now));
  RETURN_IF_ERROR(CheckUserProperties(message, limits));
  RETURN_IF_ERROR(CheckTag(message.tag));
  RETURN_IF_ERROR(CheckKeys(message));
  RETURN_IF_ERROR(CheckPropertiesSize(message, limits));
  if (id_required || !message.message_id.empty()) {
    RETURN_IF_ERROR(CheckMessageId(message.message_id));
  }
  RETURN_IF_ERROR(CheckRecovery(message, limits));
  RETURN_IF_ERROR(CheckPriority(message));
  return CheckLiteTopic(message, limits);
}

absl::Status CheckRequest(const RawSend& send) {
  if (send.messages.empty()) {
    return PublicError(PublicCode::kMessageCorrupted,
                       "the request has no message; send at least one");
  }
  if (send.too_many) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("the request has more than {} messages, or more than {} user "
                                   "properties and keys; split the batch",
                                   kMaxMessagesPerSend, kMaxPropertiesPerSend));
  }
  const RawMessage& first = send.messages.front();
  for (const RawMessage& message : send.messages) {
    if (message.topic_name != first.topic_name ||
        message.topic_namespace != first.topic_namespace) {
      return PublicError(
          PublicCode::kMessageCorrupted,
          fmt::format("the messages of the request are for different topics, {} and {}; send one "
                      "batch per topic",
                      Quoted(first.topic_name), Quoted(message.topic_name)));
    }
  }
  RETURN_IF_ERROR(ValidateNamespace(first.topic_namespace, PublicCode::kIllegalTopic));
  return ValidateTopicName(first.topic_name);
}

std::string NamesOf(uint32_t kinds) {
  std::string names;
  for (int32_t kind = 1; kind <= static_cast<int32_t>(MessageKind::kPriority); ++kind) {
    if ((kinds & (uint32_t{1} << kind)) == 0) continue;
    if (!names.empty()) names += ", ";
    names += NameOf(static_cast<MessageKind>(kind));
  }
  return names.empty() ? "none" : names;
}

// What makes a message one of these kinds, other than NORMAL.
std::string MakersOf(uint32_t kinds) {
  constexpr std::pair<MessageKind, std::string_view> kMakers[] = {
      {MessageKind::kFifo, "a message group"},      {MessageKind::kDelay, "a delivery time"},
      {MessageKind::kTransaction, "a transaction"}, {MessageKind::kLite, "a lightweight topic"},
      {MessageKind::kPriority, "a priority"},
  };
  std::string makers;
  for (const auto& [kind, maker] : kMakers) {
    if ((kinds & (uint32_t{1} << static_cast<int32_t>(kind))) == 0) continue;
    if (!makers.empty()) makers += " or ";
    makers += maker;
  }
  return makers;
}

}  // namespace

Limits LimitsOf(const config::v1::BrokerConfig& config) {
  Limits limits;
  limits.max_body_bytes = config.max_message_body_bytes();
  limits.max_user_properties = config.max_user_properties();
  limits.max_properties_bytes = config.max_properties_bytes();
  limits.max_delay = std::chrono::hours(config.max_delay_hours());
  return limits;
}

Limits StreamLimitsOf(const config::v1::BrokerConfig& config) {
  Limits limits = LimitsOf(config);
  limits.max_delay = std::chrono::hours(config.max_stream_delay_hours());
  return limits;
}

absl::Status AdmitSend(const RawSend& send, const Limits& limits, Timestamp now) {
  RETURN_IF_ERROR(CheckRequest(send));
  for (size_t i = 0; i < send.messages.size(); ++i) {
    const absl::Status status = CheckMessage(send.messages[i], limits, now, /*id_required=*/true);
    if (status.ok()) continue;
    if (send.messages.size() == 1) return status;
    return PublicError(CodeOf(status),
                       fmt::format("message {} of {}: {}", i + 1, send.messages.size(),
                                   FromAbsl(status.message())));
  }
  return absl::OkStatus();
}

absl::Status AdmitMessage(const RawMessage& message, const Limits& limits, Timestamp now,
                          bool id_required) {
  return CheckMessage(message, limits, now, id_required);
}

absl::Status CheckKind(MessageKind kind, uint32_t accepted, std::string_view topic) {
  if ((accepted & (uint32_t{1} << static_cast<int32_t>(kind))) != 0) return absl::OkStatus();
  // A NORMAL message has too little for the topic, any other something too much.
  const std::string mend =
      kind == MessageKind::kTransaction ? "send it without a transaction"
      : kind == MessageKind::kNormal
          ? "give it " + MakersOf(accepted)
          : fmt::format("leave out the property that makes it {}", NameOf(kind));
  return PublicError(
      PublicCode::kMessagePropertyConflictWithType,
      fmt::format("the message is {}, and topic {} takes {}; send it to another topic, or {}",
                  NameOf(kind), Quoted(topic), NamesOf(accepted), mend));
}

}  // namespace dunlin::broker
