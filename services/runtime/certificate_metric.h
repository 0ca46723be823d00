// CertificateMetric: until when the server's certificate is valid, for Prometheus.
//
// The file is read at each scrape, since it may be replaced under a running server. Thread-safe.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace dunlin {

class CertificateMetric final : public prometheus::Collectable {
 public:
  // `file`: PEM; empty: the server takes no TLS, and there is nothing to tell.
  explicit CertificateMetric(std::string file) : file_(std::move(file)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string file_;
};

}  // namespace dunlin
