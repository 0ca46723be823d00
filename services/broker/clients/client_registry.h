// ClientRegistry: who is connected, what each announced, who has gone silent. Keyed by client id,
// not by connection: one client opens several. Nothing that moves messages depends on it, except
// that auto-renewed leases live as long as their client.
//
// Thread-safe; a heartbeat costs one short lock.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/clock.h"

namespace dunlin::broker {

struct ClientInfo {
  std::string client_id;
  std::string language;
  std::string version;
  std::string peer;         // as gRPC names it
  int32_t client_type = 0;  // of apache.rocketmq.v2.ClientType; 0 unknown
  std::string group;        // of a consumer, "namespace/name" or "name"
  std::vector<std::string> topics;
  Timestamp first_seen;
  Timestamp last_seen;
  uint32_t streams = 0;   // open Telemetry streams
  bool streamed = false;  // had one at some time
};

struct ClientRegistryOptions {
  std::chrono::milliseconds expiry = std::chrono::seconds(120);        // of a silent client
  std::chrono::milliseconds broken_expiry = std::chrono::seconds(35);  // silent, its streams broken
  size_t max_clients = 100'000;
};

class ClientRegistry {
 public:
  ClientRegistry(const ClientRegistryOptions& options, const Clock& clock);
  ~ClientRegistry();

  // Any sign of life. False when there is no room for another client.
  bool Touch(std::string_view client_id);
  // What the client says of itself, with a heartbeat or settings.
  bool Update(const ClientInfo& info);
  void StreamOpened(std::string_view client_id);
  void StreamClosed(std::string_view client_id);
  // Terminated by its own word.
  void Remove(std::string_view client_id);

  bool IsAlive(std::string_view client_id) const;
  std::optional<ClientInfo> Find(std::string_view client_id) const;
  std::vector<ClientInfo> List() const;

  // Removes and returns the clients that expired.
  std::vector<std::string> TakeExpired();

 private:
  class State;
  const std::unique_ptr<State> state_;
};

}  // namespace dunlin::broker
