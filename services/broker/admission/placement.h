// Placement: which queue of its topic a message has to stand in. Pure; any thread.
//
// The rules are part of the contract: producers that name queues follow them, and so does the
// broker for those that do not (docs/fifo.md, docs/priority.md, docs/retention.md).

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

#include "services/broker/topics/topic_table.h"
#include "services/broker/wire/message_properties.h"

namespace dunlin::broker {

// Whether a topic takes a message, of `kind`: the kinds that it takes, and the key that a compacted
// one asks for. Errors: MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, ILLEGAL_MESSAGE_KEY.
absl::Status CheckTopicTakes(const Topic& topic, MessageKind kind,
                             const MessageProperties& message);

// The queue that a message which the topic takes has to stand in; nullopt: any. By message group,
// priority, or key in a compacted topic.
std::optional<uint32_t> QueueOf(const Topic& topic, MessageKind kind,
                                const MessageProperties& message);

// Whether it may stand in `queue`. Error: BAD_REQUEST, the same for neighbours with the same fault.
absl::Status CheckQueue(const Topic& topic, MessageKind kind, const MessageProperties& message,
                        uint32_t queue);

}  // namespace dunlin::broker
