// Agenda: which queues of which groups have something to be done: leases that end, changes to be
// saved, progress that need not be kept in memory. Knows no queue, only names of queues.
//
// Thread-safe, one short lock; may be called with the lock of a queue held, and calls nobody.

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

// One queue of one group.
struct ProgressKey {
  GroupId group;
  QueueKey queue;
  friend constexpr auto operator<=>(const ProgressKey&, const ProgressKey&) = default;
  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, const ProgressKey& key) {
    return Hash::combine(std::move(hash), key.group, key.queue);
  }
};

class Agenda {
 public:
  // When the next lease of the queue ends; nullopt: none runs.
  void Announce(const ProgressKey& key, std::optional<Timestamp> next) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same of a queue that has changed. `to_save`: it is to be saved, and was not before.
  // `freed`: a lightweight topic has nothing in flight any more.
  void Changed(const ProgressKey& key, std::optional<Timestamp> next, bool to_save, bool freed)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Lightweight topics are told apart from other queues: who asks for these wants to know of each.
  enum class Kind { kOthers, kLite };
  // Queues whose next lease ends at or before `until`, without forgetting them.
  std::vector<ProgressKey> EndingBy(Timestamp until, Kind kind) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<Timestamp> NextEnd() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that were freed since the last call.
  std::vector<ProgressKey> TakeFreed() ABSL_LOCKS_EXCLUDED(mutex_);

  // What is to be saved, one after the other: `first` begins a new round. Nullopt when that is all.
  std::optional<ProgressKey> TakeChange(bool first) ABSL_LOCKS_EXCLUDED(mutex_);
  // The round; and the round, which is forgotten.
  std::vector<ProgressKey> Taken() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ProgressKey> GiveBack() ABSL_LOCKS_EXCLUDED(mutex_);

  // A lightweight topic that may be forgotten once the log is applied beyond `saved_at`.
  void AddIdle(const ProgressKey& key, LogOffset saved_at) ABSL_LOCKS_EXCLUDED(mutex_);
  // The oldest of them, when there are more than `keep` and its time has come.
  std::optional<ProgressKey> TakeIdle(size_t keep, LogOffset dispatched)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Ends {
    std::set<std::pair<Timestamp, ProgressKey>> by_end;
    absl::flat_hash_map<ProgressKey, Timestamp> announced;
  };
  void AnnounceLocked(const ProgressKey& key, std::optional<Timestamp> next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  Ends ends_ ABSL_GUARDED_BY(mutex_);
  Ends lite_ends_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<ProgressKey> freed_ ABSL_GUARDED_BY(mutex_);
  std::vector<ProgressKey> changed_ ABSL_GUARDED_BY(mutex_);
  std::vector<ProgressKey> taken_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<ProgressKey, LogOffset>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
