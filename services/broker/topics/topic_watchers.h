// TopicWatchers: who wants to hear of which topic, whether it exists or not.
//
// Says only that a topic is another one than before; its state is the table's to tell. So a watcher
// keeps at most one mark per topic, however often that changes before the watcher looks.
// Thread-safe. Nothing survives the process.

#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace dunlin::broker {

class TopicWatcher {
 public:
  virtual ~TopicWatcher() = default;
  // The topic was made, changed or deleted, and looking it up gives the new state. On the thread
  // that changed it, which holds no lock; must not wait. May come once more after Remove.
  virtual void OnTopicChanged(std::string_view qualified_name) = 0;
};

class TopicWatchers {
 public:
  // Each watch takes memory until it is removed.
  explicit TopicWatchers(size_t max_watches) : max_watches_(max_watches) {}

  // Tells of every change from now on. Once more is as good as once. False: there are as many
  // watches as there may be.
  bool Add(std::string_view topic, const std::shared_ptr<TopicWatcher>& watcher)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(std::string_view topic, const TopicWatcher& watcher) ABSL_LOCKS_EXCLUDED(mutex_);

  // Tells of every topic, also of those that come. For as long as `watcher` is there.
  void AddForAll(const std::shared_ptr<TopicWatcher>& watcher) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tell(std::string_view topic) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Of every topic that somebody watches by name.
  void TellAll() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Pairs of a topic and a watcher.
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Watchers = absl::flat_hash_map<const TopicWatcher*, std::weak_ptr<TopicWatcher>>;

  const size_t max_watches_;
  mutable Mutex mutex_;
  StringMap<Watchers> topics_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<TopicWatcher>> of_all_ ABSL_GUARDED_BY(mutex_);
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
