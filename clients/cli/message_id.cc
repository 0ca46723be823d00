#include "clients/cli/message_id.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <random>

namespace dunlin::cli {

std::string NewMessageId() {
  // A random number instead of a hardware address, which containers share.
  static const uint64_t host = [] {
    std::random_device random;
    return ((uint64_t{random()} << 32) | random()) & 0xffffffffffff;
  }();
  static uint32_t counter = 0;
  constexpr int64_t kEpoch = 1'609'459'200;  // 2021-01-01T00:00:00Z
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count() -
                          kEpoch;
  return fmt::format("01{:012X}{:04X}{:08X}{:08X}", host, getpid() & 0xffff,
                     static_cast<uint32_t>(seconds), counter++);
}

}  // namespace dunlin::cli
