// LiteProducer: sends messages to lightweight topics (docs/lite.md): a topic for each session or
// device, made by its first message.
//
// Thread-safe; calls of several threads go side by side.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/message.h"

namespace dunlin {

struct LiteReceipt {
  std::string message_id;
  // Within the lightweight topic, from 0.
  uint64_t offset = 0;
};

struct LiteProducerOptions {
  // Of a send, with all its attempts: 1 ms or more.
  std::chrono::milliseconds request_timeout{5000};
};

namespace internal {
class LiteProducerCore;
}

class LiteProducer {
 public:
  explicit LiteProducer(std::shared_ptr<internal::LiteProducerCore> core);

  // Stored, as durably as the broker's flush mode says. Tried again while the broker is away or has
  // too much to do; a message whose answer was lost is stored twice then. Errors: INVALID_ARGUMENT
  // (no lite_topic, or one together with an ordering key, a queue, a message group, a delivery time
  // or a priority; or as the broker refuses it: the topic must be of kind LITE), NOT_FOUND (topic),
  // PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION (closed), UNAVAILABLE and
  // DEADLINE_EXCEEDED (not within request_timeout; it may be stored all the same).
  absl::StatusOr<LiteReceipt> Send(const Message& message) const;
  // All or none, in one request; of one topic, to any of its lightweight ones. The receipts are in
  // the order of the messages.
  absl::StatusOr<std::vector<LiteReceipt>> SendAll(std::span<const Message> messages) const;

  // Sends that wait for another attempt, and all later ones, end with FAILED_PRECONDITION.
  // Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::LiteProducerCore> core_;
};

}  // namespace dunlin
