// Classic ways to divide queues among consumers that read by offset (PullConsumer::Assign).
//
// Members of a group (PushConsumer, SimpleConsumer) need none of this: the broker gives each
// message to whoever asks. Who reads by offset and knows its fellows computes the same division as
// they do, and takes its own part. Pure functions: the order in which queues and consumers are
// given makes no difference, and every queue goes to one consumer. A consumer that is not among
// `consumers` gets nothing. INVALID_ARGUMENT: a queue or a consumer stands there twice, or an
// option makes no sense.

#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dunlin {

struct QueueRef {
  std::string topic;
  std::string broker;  // of its group of brokers; may be empty where there is one
  uint32_t queue = 0;

  friend auto operator<=>(const QueueRef&, const QueueRef&) = default;
};

// Queues 0 to `queues` - 1 of a topic.
std::vector<QueueRef> QueuesOf(std::string_view topic, uint32_t queues,
                               std::string_view broker = "");

struct Fellowship {
  std::span<const QueueRef> queues;
  std::span<const std::string> consumers;
  std::string_view self;
};

// Neighbours, as many to each as to the others, one more to the first ones.
absl::StatusOr<std::vector<QueueRef>> AllocateAveragely(const Fellowship& all);

// One to each in turn.
absl::StatusOr<std::vector<QueueRef>> AllocateInCircle(const Fellowship& all);

// Around a ring on which each consumer has `places` places: when one comes or goes, few queues
// move, and the parts are less even, the more so the fewer places there are. 1 to 10,000.
absl::StatusOr<std::vector<QueueRef>> AllocateConsistently(const Fellowship& all,
                                                           uint32_t places = 100);

using AllocationStrategy = std::function<absl::StatusOr<std::vector<QueueRef>>(const Fellowship&)>;

// Where something stands, by its name ROOM@NAME; empty: the name does not say.
std::string RoomOf(std::string_view name);

// Who stands where; must be the same for all who compute this.
struct MachineRooms {
  std::function<std::string(const QueueRef&)> of_queue = [](const QueueRef& queue) {
    return RoomOf(queue.broker);
  };
  std::function<std::string(std::string_view)> of_consumer = RoomOf;
};

// The queues of a machine room among its consumers, by `inner`; those of each room without any
// consumer among all, by `inner` too. INVALID_ARGUMENT also when a queue or a consumer stands in no
// room.
absl::StatusOr<std::vector<QueueRef>> AllocateNearby(
    const Fellowship& all, const MachineRooms& rooms = {},
    const AllocationStrategy& inner = AllocateAveragely);

// Averagely, of those brokers alone whose names are ROOM@NAME with one of `rooms`.
absl::StatusOr<std::vector<QueueRef>> AllocateByRoom(const Fellowship& all,
                                                     std::span<const std::string> rooms);

// Those of `configured` that exist, whoever the others are.
absl::StatusOr<std::vector<QueueRef>> AllocateAsConfigured(const Fellowship& all,
                                                           std::span<const QueueRef> configured);

// Which of the brokers that hold a topic the messages with a message group or ordering key go to:
// its position among `brokers`, in whichever order they stand. What Producer does, for those who
// send by other means. REQUIRES: there is one.
size_t BrokerOfKey(std::span<const std::string> brokers, std::string_view key);

}  // namespace dunlin
