#include "services/replicator/simulation/world.h"

#include <fmt/format.h>

#include <chrono>

namespace dunlin::replicator::simulation {

using std::chrono::microseconds;
using std::chrono::milliseconds;

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

int64_t Random::Between(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
}

Duration Random::Between(Duration low, Duration high) {
  return Duration(Between(low.count(), high.count()));
}

bool Random::Chance(double probability) {
  return static_cast<double>(Next() >> 11) * 0x1.0p-53 < probability;
}

void World::After(Duration delay, Task task) {
  events_.emplace(std::pair(now_ + delay, next_event_++), std::move(task));
}

void World::RunUntil(Instant end) {
  while (!failed() && !events_.empty() && events_.begin()->first.first <= end) {
    auto event = events_.extract(events_.begin());
    now_ = event.key().first;
    event.mapped()();
  }
  if (!failed()) now_ = end;
}

// Mostly quick; now and then as slow as a retransmission, so that what is late meets what is new.
Duration World::Delay(int from, int to) {
  const auto slow = slow_.find({from, to});
  const Duration more = slow == slow_.end() ? Duration(0) : slow->second;
  if (random_.Chance(0.01)) return more + random_.Between(milliseconds(200), milliseconds(3000));
  return more + random_.Between(microseconds(100), milliseconds(5));
}

void World::Send(int from, int to, Task arrive) {
  if (Loses(from, to)) return;
  After(Delay(from, to), [this, from, to, arrive = std::move(arrive)] {
    if (!Blocked(from, to)) arrive();
  });
}

void World::Trace(std::string line) {
  line = fmt::format("{:9.3f} {}",
                     std::chrono::duration<double>(now_.time_since_epoch()).count() - 3600, line);
  for (const char c : line) {
    trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  trace_.push_back(std::move(line));
}

void World::Fail(const std::string& violation) {
  if (failed()) return;
  violation_ = violation;
  Trace("VIOLATION: " + violation);
}

}  // namespace dunlin::replicator::simulation
