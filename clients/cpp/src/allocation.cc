#include "dunlin/allocation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "clients/cpp/src/rendezvous.h"
#include "services/base/crc32c.h"

namespace dunlin {
namespace {

constexpr uint32_t kMaxPlaces = 10'000;

// In the order that all agree on.
struct Sorted {
  std::vector<QueueRef> queues;
  std::vector<std::string_view> consumers;
  std::optional<size_t> self;  // which of the consumers
};

absl::StatusOr<Sorted> Sort(const Fellowship& all) {
  Sorted sorted;
  sorted.queues.assign(all.queues.begin(), all.queues.end());
  std::sort(sorted.queues.begin(), sorted.queues.end());
  if (std::adjacent_find(sorted.queues.begin(), sorted.queues.end()) != sorted.queues.end()) {
    return absl::InvalidArgumentError("queues: one stands there twice");
  }
  sorted.consumers.assign(all.consumers.begin(), all.consumers.end());
  std::sort(sorted.consumers.begin(), sorted.consumers.end());
  const auto twice = std::adjacent_find(sorted.consumers.begin(), sorted.consumers.end());
  if (twice != sorted.consumers.end()) {
    return absl::InvalidArgumentError("consumers: one stands there twice");
  }
  const auto self = std::lower_bound(sorted.consumers.begin(), sorted.consumers.end(), all.self);
  if (self != sorted.consumers.end() && *self == all.self) {
    sorted.self = static_cast<size_t>(self - sorted.consumers.begin());
  }
  return sorted;
}

std::vector<QueueRef> Averagely(const Sorted& sorted) {
  if (!sorted.self.has_value()) return {};
  const size_t queues = sorted.queues.size();
  const size_t consumers = sorted.consumers.size();
  const size_t more = queues % consumers;  // so many get one more
  const size_t self = *sorted.self;
  const size_t size = queues / consumers + (self < more ? 1 : 0);
  const size_t first = self * (queues / consumers) + std::min(self, more);
  const auto begin = sorted.queues.begin() + static_cast<ptrdiff_t>(first);
  return {begin, begin + static_cast<ptrdiff_t>(size)};
}

// FNV-1a, and what spreads it over all bits: names that differ in their last character only would
// stand next to each other on the ring.
uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccd;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

std::string NameOf(const QueueRef& queue) {
  return queue.broker + '\n' + queue.topic + '\n' + std::to_string(queue.queue);
}

// What stands in a machine room.
struct Room {
  std::vector<QueueRef> queues;
  std::vector<std::string> consumers;
};

absl::StatusOr<std::map<std::string, Room>> ByRoom(const Fellowship& all,
                                                   const MachineRooms& where) {
  std::map<std::string, Room> rooms;
  for (const QueueRef& queue : all.queues) {
    const std::string room = where.of_queue(queue);
    if (room.empty()) {
      return absl::InvalidArgumentError("queue " + std::to_string(queue.queue) + " of broker \"" +
                                        queue.broker + "\" stands in no machine room");
    }
    rooms[room].queues.push_back(queue);
  }
  for (const std::string& consumer : all.consumers) {
    const std::string room = where.of_consumer(consumer);
    if (room.empty()) {
      return absl::InvalidArgumentError("consumer \"" + consumer + "\" stands in no machine room");
    }
    rooms[room].consumers.push_back(consumer);
  }
  return rooms;
}

}  // namespace

std::vector<QueueRef> QueuesOf(std::string_view topic, uint32_t queues, std::string_view broker) {
  std::vector<QueueRef> all;
  all.reserve(queues);
  for (uint32_t queue = 0; queue < queues; ++queue) {
    all.push_back({std::string(topic), std::string(broker), queue});
  }
  return all;
}

absl::StatusOr<std::vector<QueueRef>> AllocateAveragely(const Fellowship& all) {
  absl::StatusOr<Sorted> sorted = Sort(all);
  if (!sorted.ok()) return sorted.status();
  return Averagely(*sorted);
}

absl::StatusOr<std::vector<QueueRef>> AllocateInCircle(const Fellowship& all) {
  absl::StatusOr<Sorted> sorted = Sort(all);
  if (!sorted.ok()) return sorted.status();
  std::vector<QueueRef> own;
  if (!sorted->self.has_value()) return own;
  for (size_t i = *sorted->self; i < sorted->queues.size(); i += sorted->consumers.size()) {
    own.push_back(std::move(sorted->queues[i]));
  }
  return own;
}

absl::StatusOr<std::vector<QueueRef>> AllocateConsistently(const Fellowship& all, uint32_t places) {
  if (places < 1 || places > kMaxPlaces) {
    return absl::InvalidArgumentError("places: 1 to 10000");
  }
  absl::StatusOr<Sorted> sorted = Sort(all);
  if (!sorted.ok()) return sorted.status();
  std::vector<QueueRef> own;
  if (!sorted->self.has_value()) return own;
  // Consumers ascend: of two in one place the first one has it, for all who compute this.
  std::map<uint64_t, size_t> ring;
  for (size_t i = 0; i < sorted->consumers.size(); ++i) {
    for (uint32_t place = 0; place < places; ++place) {
      ring.emplace(Hash(std::string(sorted->consumers[i]) + '\n' + std::to_string(place)), i);
    }
  }
  for (QueueRef& queue : sorted->queues) {
    auto next = ring.lower_bound(Hash(NameOf(queue)));
    if (next == ring.end()) next = ring.begin();
    if (next->second == *sorted->self) own.push_back(std::move(queue));
  }
  return own;
}

std::string RoomOf(std::string_view name) {
  const size_t at = name.find('@');
  return std::string(at == std::string_view::npos ? std::string_view() : name.substr(0, at));
}

absl::StatusOr<std::vector<QueueRef>> AllocateNearby(const Fellowship& all,
                                                     const MachineRooms& rooms,
                                                     const AllocationStrategy& inner) {
  // `inner` sees one room at a time, and would overlook what stands in two.
  if (const absl::StatusOr<Sorted> sorted = Sort(all); !sorted.ok()) return sorted.status();
  const absl::StatusOr<std::map<std::string, Room>> by_room = ByRoom(all, rooms);
  if (!by_room.ok()) return by_room.status();
  std::vector<QueueRef> own;
  for (const auto& [name, room] : *by_room) {
    const bool deserted = room.consumers.empty();
    absl::StatusOr<std::vector<QueueRef>> part =
        inner({room.queues, deserted ? all.consumers : std::span<const std::string>(room.consumers),
               all.self});
    if (!part.ok()) return part.status();
    std::move(part->begin(), part->end(), std::back_inserter(own));
  }
  return own;
}

absl::StatusOr<std::vector<QueueRef>> AllocateByRoom(const Fellowship& all,
                                                     std::span<const std::string> rooms) {
  absl::StatusOr<Sorted> sorted = Sort(all);
  if (!sorted.ok()) return sorted.status();
  std::erase_if(sorted->queues, [&](const QueueRef& queue) {
    return std::find(rooms.begin(), rooms.end(), RoomOf(queue.broker)) == rooms.end();
  });
  return Averagely(*sorted);
}

absl::StatusOr<std::vector<QueueRef>> AllocateAsConfigured(const Fellowship& all,
                                                           std::span<const QueueRef> configured) {
  absl::StatusOr<Sorted> sorted = Sort(all);
  if (!sorted.ok()) return sorted.status();
  std::vector<QueueRef> own;
  for (const QueueRef& queue : sorted->queues) {
    if (std::find(configured.begin(), configured.end(), queue) != configured.end()) {
      own.push_back(queue);
    }
  }
  return own;
}

size_t BrokerOfKey(std::span<const std::string> brokers, std::string_view key) {
  const uint32_t hash = Crc32c(key);
  size_t best = 0;
  uint64_t best_score = 0;
  for (size_t i = 0; i < brokers.size(); ++i) {
    const uint64_t score = internal::Score(internal::BrokerHash(brokers[i]), hash);
    if (i > 0 && score <= best_score) continue;
    best = i;
    best_score = score;
  }
  return best;
}

}  // namespace dunlin
