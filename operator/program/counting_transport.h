// CountingTransport: another transport, with its calls counted by verb and code for Prometheus.
// Thread-safe, if the other is.

#pragma once

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "operator/k8s/transport.h"

namespace dunlin::op {

class CountingTransport final : public k8s::Transport {
 public:
  // Both outlive this, and its calls.
  CountingTransport(k8s::Transport& transport, prometheus::Registry& registry);

  k8s::CallId Start(k8s::HttpRequest request, std::unique_ptr<k8s::HttpHandler> handler) override;
  void Cancel(k8s::CallId call) override { transport_.Cancel(call); }

 private:
  class Counted;

  k8s::Transport& transport_;
  prometheus::Family<prometheus::Counter>& requests_;
};

// What a request is in words of the API: get, list, watch, create, patch, delete, update.
std::string VerbOf(const k8s::HttpRequest& request);

}  // namespace dunlin::op
