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

void TopicWatchers::AddForAll(const std::shared_ptr<TopicWatcher>& watcher) {
  MutexLock lock(mutex_);
  std::erase_if(of_all_, [](const std::weak_ptr<TopicWatcher>& weak) { return weak.expired(); });
  of_all_.push_back(watcher);
}

void TopicWatchers::Tell(std::string_view topic) const {
  std::vector<std::shared_ptr<TopicWatcher>> watchers;
  const auto add = [&watchers](const std::weak_ptr<TopicWatcher>& weak) {
    if (std::shared_ptr<TopicWatcher> watcher = weak.lock(); watcher != nullptr) {
      watchers.push_back(std::move(watcher));
    }
  };
  {
    MutexLock lock(mutex_);
    for (const std::weak_ptr<TopicWatcher>& weak : of_all_) add(weak);
    const auto found = topics_.find(topic);
    if (found != topics_.end()) {
      for (const auto& [key, weak] : found->second) add(weak);
    }
  }
  for (const std::shared_ptr<TopicWatcher>& watcher : watchers) watcher->OnTopicChanged(topic);
}

void TopicWatchers::TellAll() const {
  std::vector<std::string> topics;
  {
    MutexLock lock(mutex_);
    topics.reserve(topics_.size());
    for (const auto& [topic, watchers] : topics_) topics.push_back(topic);
  }
  for (const std::string& topic : topics) Tell(topic);
}

size_t TopicWatchers::size() const {
  MutexLock lock(mutex_);
  return size_;
}

}  // namespace dunlin::broker
