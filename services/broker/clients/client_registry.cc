#include "services/broker/clients/client_registry.h"

#include <utility>

#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace dunlin::broker {

class ClientRegistry::State {
 public:
  State(const ClientRegistryOptions& options, const Clock& clock)
      : options(options), clock(clock) {}

  // Null when there is no room for another client.
  ClientInfo* FindOrAdd(std::string_view client_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    auto found = clients.find(client_id);
    if (found == clients.end()) {
      if (clients.size() >= options.max_clients) return nullptr;
      found = clients.emplace(std::string(client_id), ClientInfo{}).first;
      found->second.client_id = client_id;
      found->second.first_seen = clock.Now();
    }
    found->second.last_seen = clock.Now();
    return &found->second;
  }

  bool IsAlive(const ClientInfo& client) const {
    // A client that never had a stream is not judged by its having none.
    const bool broken = client.streams == 0 && client.streamed;
    return clock.Now() - client.last_seen < (broken ? options.broken_expiry : options.expiry);
  }

  const ClientRegistryOptions options;
  const Clock& clock;
  Mutex mutex;
  StringMap<ClientInfo> clients ABSL_GUARDED_BY(mutex);
};

ClientRegistry::ClientRegistry(const ClientRegistryOptions& options, const Clock& clock)
    : state_(std::make_unique<State>(options, clock)) {}
ClientRegistry::~ClientRegistry() = default;

bool ClientRegistry::Touch(std::string_view client_id) {
  MutexLock lock(state_->mutex);
  return state_->FindOrAdd(client_id) != nullptr;
}

bool ClientRegistry::Update(const ClientInfo& info) {
  MutexLock lock(state_->mutex);
  ClientInfo* client = state_->FindOrAdd(info.client_id);
  if (client == nullptr) return false;
  client->language = info.language;
  client->version = info.version;
  client->peer = info.peer;
  client->client_type = info.client_type;
  client->group = info.group;
  client->topics = info.topics;
  return true;
}

void ClientRegistry::StreamOpened(std::string_view client_id) {
  MutexLock lock(state_->mutex);
  ClientInfo* client = state_->FindOrAdd(client_id);
  if (client == nullptr) return;
  ++client->streams;
  client->streamed = true;
}

void ClientRegistry::StreamClosed(std::string_view client_id) {
  MutexLock lock(state_->mutex);
  auto found = state_->clients.find(client_id);
  if (found != state_->clients.end() && found->second.streams > 0) --found->second.streams;
}

void ClientRegistry::Remove(std::string_view client_id) {
  MutexLock lock(state_->mutex);
  auto found = state_->clients.find(client_id);
  if (found != state_->clients.end()) state_->clients.erase(found);
}

bool ClientRegistry::IsAlive(std::string_view client_id) const {
  MutexLock lock(state_->mutex);
  auto found = state_->clients.find(client_id);
  return found != state_->clients.end() && state_->IsAlive(found->second);
}

std::optional<ClientInfo> ClientRegistry::Find(std::string_view client_id) const {
  MutexLock lock(state_->mutex);
  auto found = state_->clients.find(client_id);
  if (found == state_->clients.end()) return std::nullopt;
  return found->second;
}

std::vector<ClientInfo> ClientRegistry::List() const {
  MutexLock lock(state_->mutex);
  std::vector<ClientInfo> list;
  list.reserve(state_->clients.size());
  for (const auto& [id, client] : state_->clients) list.push_back(client);
  return list;
}

std::vector<std::string> ClientRegistry::TakeExpired() {
  std::vector<std::string> expired;
  MutexLock lock(state_->mutex);
  for (auto client = state_->clients.begin(); client != state_->clients.end();) {
    auto current = client++;
    if (state_->IsAlive(current->second)) continue;
    expired.push_back(current->first);
    state_->clients.erase(current);
  }
  return expired;
}

}  // namespace dunlin::broker
