// GrpcServer: a gRPC server on one port that takes TLS and plaintext, with health and reflection.
//
// Owns the listening port, the acceptor thread (acceptor.h), gRPC's own threads and the TLS
// certificate. The address says who may connect, the limits how many. Serves, besides what it is
// given, grpc.health.v1 and server reflection. Nothing survives the process but a self-signed
// certificate in the data directory.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/runtime/acceptor.h"

namespace grpc {
class CallbackGenericService;
class Server;
class Service;
namespace experimental {
class ExternalConnectionAcceptor;
}  // namespace experimental
}  // namespace grpc

namespace dunlin {

namespace config::v1 {
class ServerConfig;
}  // namespace config::v1

// What the server answers; all must outlive it, and answer without blocking (callback API).
struct GrpcServices {
  std::vector<grpc::Service*> services;
  grpc::CallbackGenericService* generic = nullptr;  // takes calls of no known service
  // Largest request in bytes of services that need no more than that, whatever the configuration
  // allows.
  uint32_t max_request_bytes = UINT32_MAX;
};

class GrpcServer {
 public:
  // Listens and answers; the health service says NOT_SERVING until SetServing(true). `data_dir` is
  // where the self-signed certificate lies. INVALID_ARGUMENT: the address or certificate is of no
  // use; other errors are those of Listen (listen.h).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const config::v1::ServerConfig& config,
                                                           const std::string& data_dir,
                                                           const GrpcServices& services);
  ~GrpcServer();  // Stop without grace
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // What health checks are told. Thread-safe.
  void SetServing(bool serving);

  // Says NOT_SERVING, closes the port, lets calls under way finish for `grace`, then cancels them,
  // and returns when the last has ended. Idempotent; not thread-safe.
  void Stop(std::chrono::milliseconds grace);

  // The PEM file of the certificate that a server of `config` has; empty: it takes no TLS.
  static std::string CertificateFile(const config::v1::ServerConfig& config,
                                     const std::string& data_dir);

  uint16_t port() const { return acceptor_->port(); }
  AcceptorCounts connections() const { return acceptor_->counts(); }  // thread-safe
  // connections() that may be called even after the server is gone; for connection_metrics.h.
  std::function<AcceptorCounts()> connection_counter() const { return acceptor_->counter(); }

 private:
  // gRPC's ends for the two kinds of connections; null: that kind is refused.
  struct Doors {
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> plaintext;
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> tls;
  };

  GrpcServer(std::unique_ptr<Acceptor> acceptor, Doors doors, std::unique_ptr<grpc::Server> server);

  std::unique_ptr<Acceptor> acceptor_;
  Doors doors_;
  std::unique_ptr<grpc::Server> server_;
  bool stopped_ = false;
};

}  // namespace dunlin
