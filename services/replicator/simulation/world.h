// World: time, chance and the network of one simulated group. Nothing in it is real, so a run is a
// function of its seed.
//
// One queue of events in the order of true time; every member's own clock runs at its own rate.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator::simulation {

// splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next();
  // From `low` to `high`, both included.
  int64_t Between(int64_t low, int64_t high);
  Duration Between(Duration low, Duration high);
  bool Chance(double probability);

 private:
  uint64_t state_;
};

class World {
 public:
  using Task = std::function<void()>;

  explicit World(uint64_t seed) : random_(seed) {}

  Instant now() const { return now_; }  // true time
  Random& random() { return random_; }

  void After(Duration delay, Task task);
  // Runs what is due up to `end`, unless somebody called Fail.
  void RunUntil(Instant end);

  // ---- network; the coordinator is a place like a member ----
  // Messages from `from` to `to` are lost from now on.
  void Block(int from, int to) { blocked_.insert({from, to}); }
  void Unblock(int from, int to) { blocked_.erase({from, to}); }
  // They take so much longer from now on; 0: as before.
  void Slow(int from, int to, Duration more) { slow_[{from, to}] = more; }
  void HealAll() {
    blocked_.clear();
    slow_.clear();
  }
  bool Blocked(int from, int to) const { return blocked_.contains({from, to}); }
  void SetLoss(double probability) { loss_ = probability; }
  // A message on its own: may be lost, overtaken, or late.
  void Send(int from, int to, Task arrive);
  // Whether a message sent now is lost.
  bool Loses(int from, int to) { return Blocked(from, to) || random_.Chance(loss_); }
  Duration Delay(int from, int to);

  // ---- what happened ----
  void Trace(std::string line);
  void Fail(const std::string& violation);
  bool failed() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }
  const std::vector<std::string>& trace() const { return trace_; }
  uint64_t trace_hash() const { return trace_hash_; }

 private:
  Instant now_ = Instant() + std::chrono::hours(1);
  Random random_;
  uint64_t next_event_ = 0;
  std::map<std::pair<Instant, uint64_t>, Task> events_;
  std::set<std::pair<int, int>> blocked_;
  std::map<std::pair<int, int>, Duration> slow_;
  double loss_ = 0;
  std::string violation_;
  std::vector<std::string> trace_;
  uint64_t trace_hash_ = 14695981039346656037ULL;
};

}  // namespace dunlin::replicator::simulation
