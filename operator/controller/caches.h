// Caches: all that the operator watches, one store and reflector for each type and namespace.
//
// Objects that the operator made are found by the resource that they belong to. Whatever changes is
// told on the loop's thread. Thread-safe after Start. Stop the loop first, then destroy this.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/object.h"
#include "operator/k8s/reflector.h"
#include "operator/k8s/store.h"
#include "operator/k8s/transport.h"

namespace dunlin::op {

class Caches {
 public:
  using Handler =
      std::function<void(const k8s::ResourceType& type, const k8s::Store::Change& change)>;

  // Namespaces to watch; empty: all.
  explicit Caches(std::vector<std::string> spaces);
  Caches(const Caches&) = delete;
  Caches& operator=(const Caches&) = delete;

  // ---- before Start ----

  struct Manner {
    // Whether nothing is done before all of them are known. Otherwise it may be forbidden, too.
    bool is_needed = true;
    k8s::Store::Trim trim;
    bool is_packed = false;  // k8s/store.h
    std::string fields{};    // a selector of fields; empty: all
  };

  // `selector`: of labels; empty: all.
  void Watch(const k8s::ResourceType& type, const std::string& selector);
  void Watch(const k8s::ResourceType& type, const std::string& selector, const Manner& manner);
  void OnChange(Handler handler) { handlers_.push_back(std::move(handler)); }

  // Once. All outlive this.
  void Start(k8s::Client& client, k8s::Transport& transport, k8s::Scheduler& scheduler);

  // ---- from then on ----

  bool Watches(const k8s::ResourceType& type) const { return entries_.contains(type.kind); }
  // Whether every type that is needed has been listed; before, what is not here may exist.
  bool IsSynced() const;

  // Null when there is none, or its namespace is not watched. REQUIRES: the type is watched.
  k8s::Object Get(const k8s::ResourceType& type, const k8s::ObjectKey& key) const;
  std::vector<k8s::Object> List(const k8s::ResourceType& type) const;
  // Those of the BrokerGroup of this key, by label.
  std::vector<k8s::Object> OfGroup(const k8s::ResourceType& type,
                                   const k8s::ObjectKey& group) const;
  // Those of the NameService of this key, by label.
  std::vector<k8s::Object> OfNameService(const k8s::ResourceType& type,
                                         const k8s::ObjectKey& name_service) const;
  // The pods on a node, of all namespaces that are watched.
  std::vector<k8s::Object> PodsOn(const std::string& node) const;
  // The resources that refer to this NameService.
  std::vector<k8s::Object> Referring(const k8s::ResourceType& type,
                                     const k8s::ObjectKey& name_service) const;

  // The resources that name this Secret: Users, BrokerGroups.
  std::vector<k8s::Object> Naming(const k8s::ResourceType& type,
                                  const k8s::ObjectKey& secret) const;

  struct Reflected {
    std::string kind;
    k8s::Reflector::State state;
  };
  std::vector<Reflected> States() const;

  // The store that a reflector would fill, for tests.
  k8s::Store& StoreOf(const k8s::ResourceType& type, const std::string& space);

 private:
  struct Entry {
    k8s::ResourceType type;
    std::string space;
    std::string selector;
    std::string fields;
    bool is_needed = true;
    std::unique_ptr<k8s::Store> store;
    std::unique_ptr<k8s::Reflector> reflector;
  };

  std::vector<k8s::Object> ByIndex(const k8s::ResourceType& type, const char* index,
                                   const k8s::ObjectKey& value) const;
  const Entry* EntryOf(const k8s::ResourceType& type, const std::string& space) const;

  const std::vector<std::string> spaces_;
  std::vector<Handler> handlers_;
  // By kind and namespace; an empty namespace is all of them.
  std::map<std::string, std::map<std::string, Entry>> entries_;
};

}  // namespace dunlin::op
