#include "services/broker/lite/lite_subscriptions.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// Entries that were taken back may stand in a list before it is cleaned.
constexpr size_t kTakenBack = 64;

}  // namespace

LitePlace PlaceOf(TopicId parent, GroupId group, std::string_view client_id) {
  // 0 is the place of those who wait for a whole topic.
  return {parent, group, uint64_t{StringHash()(client_id)} | 1};
}

LiteSubscriptions::Group& LiteSubscriptions::GroupOf(const Change& change) {
  std::unique_ptr<Group>& group = groups_[change.group];
  if (group == nullptr) {
    group = std::make_unique<Group>();
    group->parent = change.parent;
    by_parent_[change.parent].insert(change.group);
  }
  return *group;
}

LiteSubscriptions::Client& LiteSubscriptions::ClientOf(Group& group, const Change& change) {
  auto found = group.clients.find(change.client_id);
  if (found != group.clients.end()) return *found->second;
  auto client = std::make_unique<Client>();
  client->id = change.client_id;
  client->place = PlaceOf(change.parent, change.group, change.client_id);
  return *group.clients.emplace(client->id, std::move(client)).first->second;
}

const LiteSubscriptions::Group* LiteSubscriptions::FindGroup(GroupId id) const {
  auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : found->second.get();
}

LiteSubscriptions::Client* LiteSubscriptions::FindClient(GroupId group,
                                                         std::string_view client_id) const {
  const Group* const found = FindGroup(group);
  if (found == nullptr) return nullptr;
  auto client = found->clients.find(client_id);
  return client == found->clients.end() ? nullptr : client->second.get();
}

LiteSubscriptions::Interest* LiteSubscriptions::FindInterest(const Group& group,
                                                             std::string_view name) {
  auto found = group.interests.find(name);
  return found == group.interests.end() ? nullptr : found->second.get();
}

absl::Status LiteSubscriptions::CheckRoom(const Client& client, size_t size) const {
  if (size <= client.interests.size()) return absl::OkStatus();
  if (size > limits_.per_client) {
    return PublicError(
        PublicCode::kLiteSubscriptionQuotaExceeded,
        fmt::format("client {} would subscribe to {} lightweight topics; at most {} are allowed: "
                    "unsubscribe from some, use more clients, or raise "
                    "broker.lite_subscription_quota",
                    client.id, size, limits_.per_client));
  }
  if (size_ + (size - client.interests.size()) > limits_.total) {
    return PublicError(
        PublicCode::kTooManyRequests,
        fmt::format("there are {} subscriptions to lightweight topics already, of all clients "
                    "together; unsubscribe from some, or raise broker.max_lite_subscriptions",
                    size_));
  }
  return absl::OkStatus();
}

void LiteSubscriptions::Add(Group& group, Client& client, std::string_view name) {
  auto found = group.interests.find(name);
  if (found == group.interests.end()) {
    auto interest = std::make_unique<Interest>();
    interest->name = name;
    found = group.interests.emplace(std::string(name), std::move(interest)).first;
  }
  found->second->clients.push_back(&client);
  client.interests.insert(found->second.get());
  ++group.size;
  ++size_;
}

void LiteSubscriptions::TakeBack(Client& client, uint32_t queue) {
  client.is_ready.erase(queue);
  if (client.ready.size() <= 2 * client.is_ready.size() + kTakenBack) return;
  absl::flat_hash_set<uint32_t> kept;
  std::erase_if(client.ready, [&](uint32_t ready) {
    return !client.is_ready.contains(ready) || !kept.insert(ready).second;
  });
}

void LiteSubscriptions::Remove(Group& group, Client& client, Interest& interest) {
  TakeBack(client, interest.queue);
  client.interests.erase(&interest);
  interest.clients.erase(std::find(interest.clients.begin(), interest.clients.end(), &client));
  --group.size;
  --size_;
  if (interest.clients.empty()) group.interests.erase(group.interests.find(interest.name));
}

absl::StatusOr<LiteSubscriptions::Outcome> LiteSubscriptions::Apply(const Change& change) {
  Outcome outcome;
  MutexLock lock(mutex_);
  const bool adds = change.action == Action::kAdd || change.action == Action::kReplace;
  const Group* const known = FindGroup(change.group);
  if (known == nullptr && !adds) return outcome;
  if (known != nullptr && known->parent != change.parent) {
    // The topic was deleted and made anew: one of the two is of before.
    outcome.ignored = change.parent < known->parent;
    if (outcome.ignored) return outcome;
    DropGroupLocked(change.group);
  }
  Group& group = GroupOf(change);
  Client& client = ClientOf(group, change);
  by_client_[client.id].insert(change.group);
  if (change.version.has_value() && *change.version < client.version) {
    outcome.ignored = true;
    return outcome;
  }

  absl::flat_hash_set<Interest*> named;
  std::vector<std::string_view> added = change.names;
  std::sort(added.begin(), added.end());
  added.erase(std::unique(added.begin(), added.end()), added.end());
  std::erase_if(added, [&](std::string_view name) {
    Interest* const interest = FindInterest(group, name);
    if (interest == nullptr) return false;
    if (client.interests.contains(interest)) return named.insert(interest).second;
    if (change.action != Action::kReplace || !change.exclusive) return false;
    outcome.lost.push_back({client.id, std::string(name)});
    return true;
  });
  const size_t kept = change.action == Action::kReplace ? named.size() : client.interests.size();
  if (adds) RETURN_IF_ERROR(CheckRoom(client, kept + added.size()));
  if (change.version.has_value()) client.version = *change.version;

  if (change.action != Action::kAdd) {
    const std::vector<Interest*> before(client.interests.begin(), client.interests.end());
    for (Interest* interest : before) {
      const bool is_named = named.contains(interest);
      const bool goes = change.action == Action::kRemoveAll ||
                        (change.action == Action::kRemove ? is_named : !is_named);
      if (goes) Remove(group, client, *interest);
    }
  }
  if (!adds) return outcome;
  for (std::string_view name : added) {
    Interest* const held = FindInterest(group, name);
    if (held != nullptr && change.exclusive) {
      // By more than one, if the group was not exclusive before.
      const absl::InlinedVector<Client*, 1> losers = held->clients;
      for (Client* loser : losers) {
        outcome.lost.push_back({loser->id, std::string(name)});
        Remove(group, *loser, *held);
      }
    }
    Add(group, client, name);
    outcome.added.emplace_back(name);
  }
  return outcome;
}

void LiteSubscriptions::MarkReady(QueueKey queue, std::string_view name,
                                  std::optional<GroupId> group, std::vector<LitePlace>& told) {
  MutexLock lock(mutex_);
  const auto mark = [&](GroupId id) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const Group* const found = FindGroup(id);
    if (found == nullptr) return;
    Interest* const interest = FindInterest(*found, name);
    if (interest == nullptr) return;
    // The name may have been another lightweight topic's, which had a smaller number and is gone.
    const uint32_t former = interest->queue;
    interest->queue = std::max(former, queue.queue);
    for (Client* client : interest->clients) {
      if (former < queue.queue) TakeBack(*client, former);
      if (!client->is_ready.insert(queue.queue).second) continue;
      client->ready.push_back(queue.queue);
      told.push_back(client->place);
    }
  };
  if (group.has_value()) return mark(*group);
  auto groups = by_parent_.find(queue.topic);
  if (groups == by_parent_.end()) return;
  for (GroupId id : groups->second) mark(id);
}

bool LiteSubscriptions::HasReady(GroupId group, std::string_view client_id) const {
  MutexLock lock(mutex_);
  const Client* const client = FindClient(group, client_id);
  return client != nullptr && !client->is_ready.empty();
}

std::optional<uint32_t> LiteSubscriptions::TakeReady(GroupId group, std::string_view client_id) {
  MutexLock lock(mutex_);
  Client* const client = FindClient(group, client_id);
  if (client == nullptr) return std::nullopt;
  while (!client->ready.empty()) {
    const uint32_t queue = client->ready.front();
    client->ready.pop_front();
    if (client->is_ready.erase(queue) > 0) return queue;
  }
  return std::nullopt;
}

bool LiteSubscriptions::Wants(GroupId group, std::string_view client_id,
                              std::string_view name) const {
  MutexLock lock(mutex_);
  const Client* const client = FindClient(group, client_id);
  return client != nullptr && client->interests.contains(FindInterest(*FindGroup(group), name));
}

std::vector<std::string> LiteSubscriptions::ClientsOf(GroupId group, std::string_view name) const {
  std::vector<std::string> clients;
  MutexLock lock(mutex_);
  const Group* const found = FindGroup(group);
  const Interest* const interest = found == nullptr ? nullptr : FindInterest(*found, name);
  if (interest == nullptr) return clients;
  for (const Client* client : interest->clients) clients.push_back(client->id);
  return clients;
}

void LiteSubscriptions::DropClient(std::string_view client_id) {
  MutexLock lock(mutex_);
  auto groups = by_client_.find(client_id);
  if (groups == by_client_.end()) return;
  for (GroupId id : groups->second) {
    auto group = groups_.find(id);
    if (group == groups_.end()) continue;
    auto client = group->second->clients.find(client_id);
    if (client == group->second->clients.end()) continue;
    const std::vector<Interest*> interests(client->second->interests.begin(),
                                           client->second->interests.end());
    for (Interest* interest : interests) Remove(*group->second, *client->second, *interest);
    group->second->clients.erase(client);
    if (group->second->clients.empty()) Forget(id);
  }
  by_client_.erase(groups);
}

void LiteSubscriptions::DropGroup(GroupId group) {
  MutexLock lock(mutex_);
  DropGroupLocked(group);
}

void LiteSubscriptions::DropParent(TopicId parent) {
  MutexLock lock(mutex_);
  auto groups = by_parent_.find(parent);
  if (groups == by_parent_.end()) return;
  const std::vector<GroupId> dropped(groups->second.begin(), groups->second.end());
  for (GroupId group : dropped) DropGroupLocked(group);
}

void LiteSubscriptions::DropGroupLocked(GroupId group) {
  auto found = groups_.find(group);
  if (found == groups_.end()) return;
  for (const auto& [id, client] : found->second->clients) {
    auto groups = by_client_.find(id);
    groups->second.erase(group);
    if (groups->second.empty()) by_client_.erase(groups);
  }
  size_ -= found->second->size;
  Forget(group);
}

void LiteSubscriptions::Forget(GroupId id) {
  auto group = groups_.find(id);
  auto groups = by_parent_.find(group->second->parent);
  groups->second.erase(id);
  if (groups->second.empty()) by_parent_.erase(groups);
  groups_.erase(group);
}

size_t LiteSubscriptions::size() const {
  MutexLock lock(mutex_);
  return size_;
}

size_t LiteSubscriptions::CountOf(GroupId group) const {
  MutexLock lock(mutex_);
  const Group* const found = FindGroup(group);
  return found == nullptr ? 0 : found->size;
}

}  // namespace dunlin::broker
