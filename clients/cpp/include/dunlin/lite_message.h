// ReceivedLiteMessage: what a consumer of lightweight topics gets. A value.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/message.h"

namespace dunlin {

struct ReceivedLiteMessage {
  std::string topic;
  std::string lite_topic;
  // As the producer gave it, decompressed.
  std::string body;
  std::string tag;
  std::vector<std::string> keys;
  std::vector<std::pair<std::string, std::string>> properties;
  std::string message_id;
  // Within its lightweight topic, from 0.
  uint64_t offset = 0;
  // Deliveries of this message to the group, this one included.
  uint32_t attempt = 1;
  Timestamp store_time{};
  // The broker's name for this delivery.
  std::string receipt_handle;
};

}  // namespace dunlin
