// LiteOptions: what LiteSimpleConsumer and LitePushConsumer have in common.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace dunlin {

struct LiteOptions {
  // Of kind LITE, and a group that is bound to it: `dunlinctl group create --lite-bind-topic`.
  std::string topic;
  std::string group;
  // What a compressed body may grow to. A message with a larger one, or one that cannot be read, is
  // told to on_error and has failed: its next attempt comes as the group's retry policy says.
  size_t max_body_bytes = 64 << 20;
  // How long the broker may take for anything but a receive: 1 ms or more.
  std::chrono::milliseconds request_timeout{10000};
  // Of an exclusive group: another consumer subscribed to it, and it is not subscribed to any more.
  // Called on a thread of the consumer, one call at a time. Not to Close from.
  std::function<void(std::string_view lite_topic)> on_lost;
  // What goes wrong behind the scenes: the subscriptions cannot be told to the broker, a receive
  // of a push consumer fails, which ends it when it was UNAUTHENTICATED or PERMISSION_DENIED.
  // Called as on_lost, or on a thread of a listener.
  std::function<void(const absl::Status&)> on_error;
};

}  // namespace dunlin
