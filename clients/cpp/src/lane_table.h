// LaneTable: all queues that the messages of a topic may go to, at whichever brokers.
//
// Read without a lock by whoever sends; a change of the route is another table.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "clients/cpp/src/publish_stream.h"

namespace dunlin::internal {

struct Target;
struct Topic;

// A topic at one broker.
struct TopicAt {
  TopicAt(Topic& topic_of, Target& target_of) : topic(topic_of), target(target_of) {}

  Topic& topic;
  Target& target;
  // Under the core's lock.
  uint32_t id = 0;          // as a binding or the route said; 0: neither has
  uint32_t queues = 0;      // that take messages
  bool is_open = false;     // the route says that it takes messages
  bool is_there = false;    // in the route, open or not
  std::vector<Lane*> made;  // of every queue that there ever was; null: not used yet
};

struct LaneTable {
  // What a lane is made of.
  struct Slot {
    TopicAt* at;
    uint32_t queue;
    bool operator==(const Slot&) const = default;
  };
  // The queues at one broker.
  struct Part {
    TopicAt* at;
    std::string name;              // of the broker
    uint64_t hash;                 // of the name
    std::vector<uint32_t> places;  // by queue
    // Takes nothing new but what has to come behind what waits there already.
    bool is_leaving;
    bool operator==(const Part&) const = default;
  };

  // Broker by broker in turn, so that all of them are met soon; behind `open` those of parts that
  // leave.
  std::vector<Slot> slots;
  std::vector<Part> parts;  // by name
  uint32_t open = 0;
  mutable std::vector<std::atomic<Lane*>> lanes;  // null: not used yet

  // From the brokers of a topic: those that are open, or all of the route when none is, and those
  // of `before` that have to be waited for.
  static std::unique_ptr<LaneTable> Make(const std::vector<std::unique_ptr<TopicAt>>& brokers,
                                         const LaneTable* before);
  bool IsLike(const LaneTable& other) const {
    return open == other.open && slots == other.slots && parts == other.parts;
  }

  // The part for all messages with a key. Whoever asks comes to the same one; when a broker comes
  // or goes, only keys that are its own move.
  const Part& PartOf(uint32_t key_hash) const;
};

struct Topic {
  std::string name;
  // Null until it is known where the topic is; replaced when that changes. Old ones are kept.
  std::atomic<const LaneTable*> table{nullptr};
  std::atomic<uint32_t> current{0};  // the place of the next message
  std::atomic<uint32_t> turn{0};     // of brokers, for messages with a priority
  // Under the core's lock.
  std::vector<std::unique_ptr<LaneTable>> tables;  // no two alike
  std::vector<std::unique_ptr<TopicAt>> brokers;
  bool is_absent = false;   // the routes know no such topic
  absl::Status unroutable;  // nor can there be one
  int refusals = 0;         // of a binding
  absl::Status refusal;
};

}  // namespace dunlin::internal
