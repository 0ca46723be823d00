// Spread: which of very many queues a message of a load goes to.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dunlin::load {

struct Spread {
  enum class Kind {
    kNone,    // one topic; the SDK chooses
    kEach,    // one queue after the other
    kRandom,  // any, all as often
  };
  Kind kind = Kind::kNone;
  // NAME-0, NAME-1, ... of NAME, with so many queues each.
  uint32_t topics = 1;
  uint32_t queues = 1;

  // Places are the queues of the first topic, then those of the second, ...
  uint64_t places() const { return uint64_t{topics} * queues; }
  uint64_t PlaceOf(uint64_t run, uint64_t number) const;
  static std::string TopicName(std::string_view name, uint64_t topic) {
    return std::string(name) + "-" + std::to_string(topic);
  }
};

}  // namespace dunlin::load
