// GroupOptions: what SimpleConsumer and PushConsumer have in common as members of a consumer group.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dunlin {

struct GroupOptions {
  std::string group;
  // Length of a lease: a message that is not settled by then comes again, to any member. It begins
  // when the broker sends the message. One that is still buffered when three quarters of it are
  // over is given back, so that another member may have it; that attempt does not count.
  std::chrono::milliseconds invisible_duration{60000};
  // Messages of a topic that are leased to this consumer at a time, buffered ones included: 1 to
  // 65535.
  uint32_t max_unsettled = 4096;
  // Frames that were received and not handed out yet, 64 KiB or more. One frame may go beyond it.
  size_t max_buffered_bytes = 8 << 20;
  // How long Subscribe and Extend wait for the broker, and Close for what is settled to be sent.
  std::chrono::milliseconds request_timeout{10000};
  // What a compressed body may grow to; a message with a larger one counts as damaged.
  size_t max_body_bytes = 64 << 20;
};

}  // namespace dunlin
