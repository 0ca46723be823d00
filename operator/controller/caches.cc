#include "operator/controller/caches.h"

#include <utility>

#include "operator/planner/credentials.h"
#include "operator/planner/name_service.h"
#include "operator/planner/objects.h"
#include "operator/planner/resource_types.h"
#include "services/base/check.h"

namespace dunlin::op {
namespace {

constexpr char kByGroup[] = "group";
constexpr char kByNameService[] = "name service";
constexpr char kByReference[] = "reference";
constexpr char kByNode[] = "node";
constexpr char kBySecret[] = "secret";

k8s::Store::Indexer ByLabel(std::string_view label) {
  return [label](const k8s::Json& object) -> std::vector<std::string> {
    const std::string_view name = k8s::LabelOf(object, label);
    if (name.empty()) return {};
    return {k8s::ObjectKey{k8s::KeyOf(object).space, std::string(name)}.ToString()};
  };
}

std::vector<std::string> ReferenceOf(const k8s::Json& object) {
  const std::string_view name = k8s::StringAt(object, {"spec", "nameServiceRef", "name"});
  if (name.empty()) return {};
  return {k8s::ObjectKey{k8s::KeyOf(object).space, std::string(name)}.ToString()};
}

std::vector<std::string> SecretOfUser(const k8s::Json& user) {
  return {k8s::ObjectKey{k8s::KeyOf(user).space, CredentialsNameOf(user)}.ToString()};
}

std::vector<std::string> SecretOfGroup(const k8s::Json& group) {
  const std::string_view name = k8s::StringAt(group, {"spec", "access", "superUserSecretName"});
  if (name.empty()) return {};
  return {k8s::ObjectKey{k8s::KeyOf(group).space, std::string(name)}.ToString()};
}

std::vector<std::string> NodeOf(const k8s::Json& pod) {
  const std::string_view name = k8s::StringAt(pod, {"spec", "nodeName"});
  if (name.empty()) return {};
  return {std::string(name)};
}

}  // namespace

Caches::Caches(std::vector<std::string> spaces)
    : spaces_(spaces.empty() ? std::vector<std::string>{""} : std::move(spaces)) {}

void Caches::Watch(const k8s::ResourceType& type, const std::string& selector) {
  Watch(type, selector, {});
}

void Caches::Watch(const k8s::ResourceType& type, const std::string& selector,
                   const Manner& manner) {
  for (const std::string& space : type.namespaced ? spaces_ : std::vector<std::string>{""}) {
    auto store = std::make_unique<k8s::Store>();
    store->AddIndex(kByGroup, ByLabel(kGroupLabel));
    store->AddIndex(kByNameService, ByLabel(kNameServiceLabel));
    store->AddIndex(kByReference, ReferenceOf);
    if (type == PodType()) store->AddIndex(kByNode, NodeOf);
    if (type == UserType()) store->AddIndex(kBySecret, SecretOfUser);
    if (type == BrokerGroupType()) store->AddIndex(kBySecret, SecretOfGroup);
    if (manner.trim) store->SetTrim(manner.trim);
    if (manner.is_packed) store->KeepPacked();
    store->AddHandler([this, type](const k8s::Store::Change& change) {
      for (const Handler& handler : handlers_) handler(type, change);
    });
    entries_[type.kind][space] = {.type = type,
                                  .space = space,
                                  .selector = selector,
                                  .fields = manner.fields,
                                  .is_needed = manner.is_needed,
                                  .store = std::move(store),
                                  .reflector = nullptr};
  }
}

void Caches::Start(k8s::Client& client, k8s::Transport& transport, k8s::Scheduler& scheduler) {
  uint32_t seed = 0;
  for (auto& [kind, by_space] : entries_) {
    for (auto& [space, entry] : by_space) {
      entry.reflector = std::make_unique<k8s::Reflector>(
          client, transport, scheduler, *entry.store,
          k8s::ReflectorOptions{.type = entry.type,
                                .which = {.space = space,
                                          .label_selector = entry.selector,
                                          .field_selector = entry.fields},
                                .seed = ++seed});
      entry.reflector->Start();
    }
  }
}

bool Caches::IsSynced() const {
  for (const auto& [kind, by_space] : entries_) {
    for (const auto& [space, entry] : by_space) {
      if (entry.is_needed && !entry.store->IsSynced()) return false;
    }
  }
  return true;
}

const Caches::Entry* Caches::EntryOf(const k8s::ResourceType& type,
                                     const std::string& space) const {
  const auto by_space = entries_.find(type.kind);
  CHECK(by_space != entries_.end(), type.kind);
  auto found = by_space->second.find(space);
  if (found == by_space->second.end()) found = by_space->second.find("");
  return found == by_space->second.end() ? nullptr : &found->second;
}

k8s::Object Caches::Get(const k8s::ResourceType& type, const k8s::ObjectKey& key) const {
  const Entry* const entry = EntryOf(type, key.space);
  return entry == nullptr ? nullptr : entry->store->Get(key);
}

std::vector<k8s::Object> Caches::List(const k8s::ResourceType& type) const {
  std::vector<k8s::Object> all;
  for (const auto& [space, entry] : entries_.at(type.kind)) {
    const std::vector<k8s::Object> part = entry.store->List();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<k8s::Object> Caches::ByIndex(const k8s::ResourceType& type, const char* index,
                                         const k8s::ObjectKey& value) const {
  const Entry* const entry = EntryOf(type, value.space);
  if (entry == nullptr) return {};
  return entry->store->ByIndex(index, value.ToString());
}

std::vector<k8s::Object> Caches::OfGroup(const k8s::ResourceType& type,
                                         const k8s::ObjectKey& group) const {
  return ByIndex(type, kByGroup, group);
}

std::vector<k8s::Object> Caches::OfNameService(const k8s::ResourceType& type,
                                               const k8s::ObjectKey& name_service) const {
  return ByIndex(type, kByNameService, name_service);
}

std::vector<k8s::Object> Caches::Referring(const k8s::ResourceType& type,
                                           const k8s::ObjectKey& name_service) const {
  return ByIndex(type, kByReference, name_service);
}

std::vector<k8s::Object> Caches::Naming(const k8s::ResourceType& type,
                                        const k8s::ObjectKey& secret) const {
  return ByIndex(type, kBySecret, secret);
}

std::vector<k8s::Object> Caches::PodsOn(const std::string& node) const {
  std::vector<k8s::Object> all;
  for (const auto& [space, entry] : entries_.at(PodType().kind)) {
    const std::vector<k8s::Object> part = entry.store->ByIndex(kByNode, node);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<Caches::Reflected> Caches::States() const {
  std::vector<Reflected> states;
  for (const auto& [kind, by_space] : entries_) {
    for (const auto& [space, entry] : by_space) {
      if (entry.reflector != nullptr) states.push_back({kind, entry.reflector->CurrentState()});
    }
  }
  return states;
}

k8s::Store& Caches::StoreOf(const k8s::ResourceType& type, const std::string& space) {
  const Entry* const entry = EntryOf(type, space);
  CHECK(entry != nullptr, space);
  return *entry->store;
}

}  // namespace dunlin::op
