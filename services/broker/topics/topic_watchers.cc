#include "services/broker/topics/topic_watchers.h"

#include <string>
#include <utility>
#include <vector>

namespace dunlin::broker {

bool TopicWatchers::Add(std::string_view topic, const std::shared_ptr<TopicWatcher>& watcher) {
  MutexLock lock(mutex_);
  auto found = topics_.find(topic);
  if (found != topics_.end() && found->second.contains(watcher.get())) return true;
  if (size_ >= max_watches_) return false;
  if (found == topics_.end()) found = topics_.emplace(std::string(topic), Watchers()).first;
  found->second.emplace(watcher.get(), watcher);
  ++size_;
  return true;
}

void TopicWatchers::Remove(std::string_view topic, const TopicWatcher& watcher) {
  MutexLock lock(mutex_);
  auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  size_ -= found->second.erase(&watcher);
  if (found->second.empty()) topics_.erase(found);
}

void TopicWatchers::Tell(std::string_view topic) const {
  std::vector<std::shared_ptr<TopicWatcher>> watchers;
  {
    MutexLock lock(mutex_);
    auto found = topics_.find(topic);
    if (found == topics_.end()) return;
    watchers.reserve(found->second.size());
    for (const auto& [key, weak] : found->second) {
      if (std::shared_ptr<TopicWatcher> watcher = weak.lock(); watcher != nullptr) {
        watchers.push_back(std::move(watcher));
      }
    }
  }
  for (const std::shared_ptr<TopicWatcher>& watcher : watchers) watcher->OnTopicChanged(topic);
}

size_t TopicWatchers::size() const {
  MutexLock lock(mutex_);
  return size_;
}

}  // namespace dunlin::broker
