#include "clients/cpp/src/lane_table.h"

#include <algorithm>

#include "clients/cpp/src/producer_core.h"
#include "clients/cpp/src/rendezvous.h"

namespace dunlin::internal {
namespace {

// Messages wait there.
bool HasWaiting(const TopicAt& at) {
  return std::any_of(at.made.begin(), at.made.end(), [](const Lane* lane) {
    return lane != nullptr && !lane->stream.IsEmpty(*lane);
  });
}

// Gives the queues of some parts places, by turns.
void AddSlots(std::vector<LaneTable::Part*>& parts, LaneTable& table) {
  for (uint32_t queue = 0, left = 1; left > 0; ++queue) {
    left = 0;
    for (LaneTable::Part* part : parts) {
      if (queue >= part->at->queues) continue;
      ++left;
      part->places.push_back(static_cast<uint32_t>(table.slots.size()));
      table.slots.push_back({part->at, queue});
    }
  }
}

}  // namespace

std::unique_ptr<LaneTable> LaneTable::Make(const std::vector<std::unique_ptr<TopicAt>>& brokers,
                                           const LaneTable* before) {
  const bool some_open =
      std::any_of(brokers.begin(), brokers.end(), [](const auto& at) { return at->is_open; });
  auto table = std::make_unique<LaneTable>();
  for (const auto& at : brokers) {
    // A topic that takes no messages anywhere says so when it is sent one.
    const bool is_used = some_open ? at->is_open : at->is_there;
    const bool was_used =
        before != nullptr && std::any_of(before->parts.begin(), before->parts.end(),
                                         [&](const Part& part) { return part.at == at.get(); });
    const bool is_leaving = !is_used && was_used && HasWaiting(*at);
    if (at->queues == 0 || (!is_used && !is_leaving)) continue;
    const std::string& name = at->target.name;
    table->parts.push_back({at.get(), name, BrokerHash(name), {}, is_leaving});
  }
  std::sort(table->parts.begin(), table->parts.end(),
            [](const Part& a, const Part& b) { return a.name < b.name; });
  std::vector<Part*> open;
  std::vector<Part*> leaving;
  for (Part& part : table->parts) (part.is_leaving ? leaving : open).push_back(&part);
  AddSlots(open, *table);
  table->open = static_cast<uint32_t>(table->slots.size());
  AddSlots(leaving, *table);
  table->lanes = std::vector<std::atomic<Lane*>>(table->slots.size());
  return table;
}

const LaneTable::Part& LaneTable::PartOf(uint32_t key_hash) const {
  if (parts.size() == 1) return parts.front();
  const Part* best = nullptr;
  const Part* staying = nullptr;
  uint64_t best_score = 0;
  uint64_t staying_score = 0;
  for (const Part& part : parts) {
    const uint64_t score = Score(part.hash, key_hash);
    if (best == nullptr || score > best_score) {
      best = &part;
      best_score = score;
    }
    if (!part.is_leaving && (staying == nullptr || score > staying_score)) {
      staying = &part;
      staying_score = score;
    }
  }
  if (!best->is_leaving) return *best;
  const uint32_t place = best->places[key_hash % best->places.size()];
  Lane* const lane = lanes[place].load(std::memory_order_acquire);
  return lane != nullptr && !lane->stream.IsEmpty(*lane) ? *best : *staying;
}

}  // namespace dunlin::internal
