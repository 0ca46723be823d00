// Store: the objects of one type as the API server last told them, with indexes and handlers.
//
// One reflector writes, on the loop's thread; anybody reads. Objects are shared and never changed,
// and without metadata.managedFields, which may be most of them. What is here is of the past: what
// may not be done twice is done with a precondition.
//
// A tree of JSON is ten times the size of its text. Where there are many objects, and each is asked
// for now and then, they are kept packed, and unpacked for whoever asks.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/object.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

class Store {
 public:
  // The values by which an object can be found; any number.
  using Indexer = std::function<std::vector<std::string>(const Json& object)>;
  // Takes away what nobody reads. What names and versions an object stays.
  using Trim = std::function<void(Json& object)>;

  struct Change {
    Object before;  // null: it is new
    Object after;   // null: it is gone
  };
  // Called on the loop's thread, in order, without a lock; must not wait. An object that was
  // deleted and made again under its name comes as two changes.
  using Handler = std::function<void(const Change& change)>;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // REQUIRES of these: before the reflector starts.
  void AddIndex(const std::string& name, Indexer indexer) ABSL_LOCKS_EXCLUDED(mutex_);
  void AddHandler(Handler handler) { handlers_.push_back(std::move(handler)); }
  void SetTrim(Trim trim) { trim_ = std::move(trim); }
  void KeepPacked() { packs_ = true; }

  // Null when there is none.
  Object Get(const ObjectKey& key) const ABSL_LOCKS_EXCLUDED(mutex_);
  // By key, ascending.
  std::vector<Object> List() const ABSL_LOCKS_EXCLUDED(mutex_);
  // REQUIRES: there is an index of this name.
  std::vector<Object> ByIndex(const std::string& index, const std::string& value) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether it has once been filled; before, an object that is not here may exist.
  bool IsSynced() const ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- the reflector's ----

  // All there are; what is missing is gone.
  void Replace(std::vector<Json> objects) ABSL_LOCKS_EXCLUDED(mutex_);
  void Put(Json object) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const ObjectKey& key) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Index {
    Indexer indexer;
    std::map<std::string, std::set<ObjectKey>> keys;  // by value
  };

  // An object at rest: one of the two.
  struct Kept {
    Object whole;
    std::shared_ptr<const std::string> packed;  // MessagePack
  };

  Object Slim(Json object) const;
  Kept Keep(Object object) const;
  static Object Unpack(const Kept& kept);
  static std::vector<Object> UnpackAll(const std::vector<Kept>& kept);
  void Exchange(const ObjectKey& key, Object after, std::vector<Change>& changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(const std::vector<Change>& changes) const;

  mutable Mutex mutex_;
  std::map<ObjectKey, Kept> objects_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Index> indexes_ ABSL_GUARDED_BY(mutex_);
  bool synced_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Handler> handlers_;
  Trim trim_;  // none: nothing else is taken away
  bool packs_ = false;
};

}  // namespace dunlin::k8s
