// Metrics: the program's Prometheus registry, and the HTTP endpoint that serves it.
//
// Made first by main and destroyed last: rooms register their counters in `registry()` and keep
// references to them. The endpoint answers GET /metrics on one worker thread, without
// authentication, for the administrator's network only. prometheus-cpp's exceptions stay inside.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prometheus {
class Collectable;
class Exposer;
class Registry;
}  // namespace prometheus

namespace dunlin {

class Metrics {
 public:
  // Serves at `listen_address` (host:port; port 0: a free one), or nowhere when it is empty; the
  // registry works either way. INVALID_ARGUMENT: it is not host:port. UNAVAILABLE: it cannot
  // be listened on.
  static absl::StatusOr<std::unique_ptr<Metrics>> Start(const std::string& listen_address);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  prometheus::Registry& registry() { return *registry_; }

  // Also serves what `source` collects when asked; keeps it alive. Not thread-safe.
  void Add(std::shared_ptr<prometheus::Collectable> source);

  // 0 when there is no endpoint.
  uint16_t port() const { return port_; }

 private:
  Metrics();

  absl::Status Listen(const std::string& address);

  std::shared_ptr<prometheus::Registry> registry_;
  std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string host_;
  uint16_t port_ = 0;
};

}  // namespace dunlin
