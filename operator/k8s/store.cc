#include "operator/k8s/store.h"

#include <utility>

#include "services/base/check.h"

namespace dunlin::k8s {

Object Store::Slim(Json object) const {
  if (const auto metadata = object.find("metadata"); metadata != object.end()) {
    metadata->erase("managedFields");
  }
  if (trim_) trim_(object);
  return std::make_shared<const Json>(std::move(object));
}

Store::Kept Store::Keep(Object object) const {
  if (!packs_) return {.whole = std::move(object), .packed = nullptr};
  std::string packed;
  Json::to_msgpack(*object, packed);
  packed.shrink_to_fit();
  return {.whole = nullptr, .packed = std::make_shared<const std::string>(std::move(packed))};
}

Object Store::Unpack(const Kept& kept) {
  if (kept.packed == nullptr) return kept.whole;
  Json object = Json::from_msgpack(*kept.packed, /*strict=*/true, /*allow_exceptions=*/false);
  CHECK(!object.is_discarded(), "what was packed here");
  return std::make_shared<const Json>(std::move(object));
}

std::vector<Object> Store::UnpackAll(const std::vector<Kept>& kept) {
  std::vector<Object> objects;
  objects.reserve(kept.size());
  for (const Kept& one : kept) objects.push_back(Unpack(one));
  return objects;
}

void Store::AddIndex(const std::string& name, Indexer indexer) {
  MutexLock lock(mutex_);
  CHECK(!synced_, name);
  indexes_[name] = {.indexer = std::move(indexer), .keys = {}};
}

Object Store::Get(const ObjectKey& key) const {
  Kept kept;
  {
    MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return nullptr;
    kept = found->second;
  }
  return Unpack(kept);
}

std::vector<Object> Store::List() const {
  std::vector<Kept> kept;
  {
    MutexLock lock(mutex_);
    kept.reserve(objects_.size());
    for (const auto& [key, object] : objects_) kept.push_back(object);
  }
  return UnpackAll(kept);
}

std::vector<Object> Store::ByIndex(const std::string& index, const std::string& value) const {
  std::vector<Kept> kept;
  {
    MutexLock lock(mutex_);
    const auto found = indexes_.find(index);
    CHECK(found != indexes_.end(), index);
    if (const auto keys = found->second.keys.find(value); keys != found->second.keys.end()) {
      for (const ObjectKey& key : keys->second) kept.push_back(objects_.at(key));
    }
  }
  return UnpackAll(kept);
}

bool Store::IsSynced() const {
  MutexLock lock(mutex_);
  return synced_;
}

void Store::Replace(std::vector<Json> objects) {
  std::vector<Change> changes;
  {
    MutexLock lock(mutex_);
    std::map<ObjectKey, Object> now;
    for (Json& object : objects) {
      ObjectKey key = KeyOf(object);
      now[std::move(key)] = Slim(std::move(object));
    }
    std::vector<ObjectKey> gone;
    for (const auto& [key, object] : objects_) {
      if (!now.contains(key)) gone.push_back(key);
    }
    for (const ObjectKey& key : gone) Exchange(key, nullptr, changes);
    for (auto& [key, object] : now) Exchange(key, std::move(object), changes);
    synced_ = true;
  }
  Tell(changes);
}

void Store::Put(Json object) {
  std::vector<Change> changes;
  {
    MutexLock lock(mutex_);
    const ObjectKey key = KeyOf(object);
    Exchange(key, Slim(std::move(object)), changes);
  }
  Tell(changes);
}

void Store::Remove(const ObjectKey& key) {
  std::vector<Change> changes;
  {
    MutexLock lock(mutex_);
    Exchange(key, nullptr, changes);
  }
  Tell(changes);
}

void Store::Exchange(const ObjectKey& key, Object after, std::vector<Change>& changes) {
  const auto found = objects_.find(key);
  const Object before = found == objects_.end() ? nullptr : Unpack(found->second);
  if (before == nullptr && after == nullptr) return;
  // A list after a gap brings what is known already, too.
  const bool same = before != nullptr && after != nullptr && UidOf(*before) == UidOf(*after) &&
                    ResourceVersionOf(*before) == ResourceVersionOf(*after);
  if (same) return;
  for (auto& [name, index] : indexes_) {
    if (before != nullptr) {
      for (const std::string& value : index.indexer(*before)) {
        const auto keys = index.keys.find(value);
        if (keys == index.keys.end()) continue;
        keys->second.erase(key);
        if (keys->second.empty()) index.keys.erase(keys);
      }
    }
    if (after != nullptr) {
      for (const std::string& value : index.indexer(*after)) index.keys[value].insert(key);
    }
  }
  if (after == nullptr) {
    objects_.erase(found);
  } else {
    objects_[key] = Keep(after);
  }
  if (before != nullptr && after != nullptr && UidOf(*before) != UidOf(*after)) {
    changes.push_back({.before = before, .after = nullptr});
    changes.push_back({.before = nullptr, .after = std::move(after)});
  } else {
    changes.push_back({.before = before, .after = std::move(after)});
  }
}

void Store::Tell(const std::vector<Change>& changes) const {
  for (const Change& change : changes) {
    for (const Handler& handler : handlers_) handler(change);
  }
}

}  // namespace dunlin::k8s
