#include "services/runtime/metrics.h"

#include <fmt/format.h>
#include <netdb.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "services/base/status_macros.h"
#include "services/runtime/host_port.h"
#include "services/runtime/process_metrics.h"
#include "services/runtime/rpc_metrics.h"
#include "services/runtime/unique_fd.h"

namespace dunlin {
namespace {

// Connects and hangs up. Failing is of no consequence.
void Knock(const HostPort& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = fmt::to_string(address.port);
  if (getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found) != 0) return;
  const UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  (void)connect(fd.get(), found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Start(const std::string& listen_address) {
  std::unique_ptr<Metrics> metrics(new Metrics);
  if (!listen_address.empty()) RETURN_IF_ERROR(metrics->Listen(listen_address));
  metrics->Add(std::make_shared<ProcessMetrics>());
  metrics->Add(RpcMetrics::OfProcess());
  return metrics;
}

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {}

// civetweb looks whether it should stop only every 2 s, and when somebody connects.
Metrics::~Metrics() {
  if (exposer_ == nullptr) return;
  std::atomic<bool> stopped = false;
  std::thread knocker([&] {
    while (!stopped) {
      Knock({.host = host_, .port = port_});
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  exposer_.reset();
  stopped = true;
  knocker.join();
}

absl::Status Metrics::Listen(const std::string& address) {
  const std::optional<HostPort> parsed = ParseHostPort(address);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not host:port", address));
  }
  host_ = parsed->host;
  // One worker: a slow reader must not hold it for long.
  const std::vector<std::string> options = {"listening_ports",    address, "num_threads", "1",
                                            "request_timeout_ms", "5000"};
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(options);
    exposer_->RegisterCollectable(registry_);
    const std::vector<int> ports = exposer_->GetListeningPorts();
    if (!ports.empty()) port_ = static_cast<uint16_t>(ports.front());
    return absl::OkStatus();
  } catch (const std::exception& e) {
    exposer_.reset();
    return absl::UnavailableError(fmt::format("cannot serve metrics on {}: {}", address, e.what()));
  }
}

void Metrics::Add(std::shared_ptr<prometheus::Collectable> source) {
  if (exposer_ != nullptr) exposer_->RegisterCollectable(source);
  sources_.push_back(std::move(source));
}

}  // namespace dunlin
