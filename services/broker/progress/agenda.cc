#include "services/broker/progress/agenda.h"

#include <algorithm>

namespace dunlin::broker {

void Agenda::Announce(const ProgressKey& key, std::optional<Timestamp> next) {
  MutexLock lock(mutex_);
  AnnounceLocked(key, next);
}

void Agenda::Changed(const ProgressKey& key, std::optional<Timestamp> next, bool to_save,
                     bool freed) {
  MutexLock lock(mutex_);
  if (to_save) changed_.push_back(key);
  if (freed) freed_.insert(key);
  AnnounceLocked(key, next);
}

void Agenda::AnnounceLocked(const ProgressKey& key, std::optional<Timestamp> next) {
  Ends& ends = IsLite(key.queue) ? lite_ends_ : ends_;
  auto announced = ends.announced.find(key);
  if (announced != ends.announced.end()) {
    if (next.has_value() && announced->second == *next) return;
    ends.by_end.erase({announced->second, key});
    ends.announced.erase(announced);
  }
  if (!next.has_value()) return;
  ends.by_end.emplace(*next, key);
  ends.announced.emplace(key, *next);
}

std::vector<ProgressKey> Agenda::EndingBy(Timestamp until, Kind kind) const {
  std::vector<ProgressKey> keys;
  MutexLock lock(mutex_);
  const Ends& ends = kind == Kind::kLite ? lite_ends_ : ends_;
  for (auto end = ends.by_end.begin(); end != ends.by_end.end() && end->first <= until; ++end) {
    keys.push_back(end->second);
  }
  return keys;
}

std::optional<Timestamp> Agenda::NextEnd() const {
  MutexLock lock(mutex_);
  if (lite_ends_.by_end.empty() && ends_.by_end.empty()) return std::nullopt;
  Timestamp next = Timestamp::max();
  if (!ends_.by_end.empty()) next = ends_.by_end.begin()->first;
  if (!lite_ends_.by_end.empty()) next = std::min(next, lite_ends_.by_end.begin()->first);
  return next;
}

std::vector<ProgressKey> Agenda::TakeFreed() {
  MutexLock lock(mutex_);
  std::vector<ProgressKey> keys(freed_.begin(), freed_.end());
  freed_.clear();
  return keys;
}

std::optional<ProgressKey> Agenda::TakeChange(bool first) {
  MutexLock lock(mutex_);
  if (first) taken_.clear();
  if (changed_.empty()) return std::nullopt;
  taken_.push_back(changed_.back());
  changed_.pop_back();
  return taken_.back();
}

std::vector<ProgressKey> Agenda::Taken() const {
  MutexLock lock(mutex_);
  return taken_;
}

std::vector<ProgressKey> Agenda::GiveBack() {
  MutexLock lock(mutex_);
  return std::exchange(taken_, {});
}

void Agenda::AddIdle(const ProgressKey& key, LogOffset saved_at) {
  MutexLock lock(mutex_);
  idle_.emplace_back(key, saved_at);
}

std::optional<ProgressKey> Agenda::TakeIdle(size_t keep, LogOffset dispatched) {
  MutexLock lock(mutex_);
  if (idle_.size() <= keep || idle_.front().second >= dispatched) return std::nullopt;
  const ProgressKey key = idle_.front().first;
  idle_.pop_front();
  return key;
}

}  // namespace dunlin::broker
