#include "services/runtime/certificate_metric.h"

#include <cstdint>

#include "absl/status/statusor.h"

#include "services/runtime/certificate.h"

namespace dunlin {

std::vector<prometheus::MetricFamily> CertificateMetric::Collect() const {
  if (file_.empty()) return {};
  prometheus::MetricFamily expiry{
      .name = "dunlin_runtime_certificate_expiry_timestamp_seconds",
      .help = "When the server's certificate ends, in seconds since 1970; 0: it cannot be read.",
      .type = prometheus::MetricType::Gauge,
      .metric = {}};
  const absl::StatusOr<int64_t> until = CertificateExpiry(file_);
  expiry.metric.emplace_back().gauge.value = until.ok() ? static_cast<double>(*until) : 0;
  return {std::move(expiry)};
}

}  // namespace dunlin
