// RegistrationMetrics: whether and how a broker is registered with each of its name services, for
// Prometheus. Thread-safe; may outlive the registrar.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <utility>
#include <vector>

#include "services/broker/registration/registrar.h"

namespace dunlin::broker {

class RegistrationMetrics final : public prometheus::Collectable {
 public:
  explicit RegistrationMetrics(std::vector<Registrar::Counts> sessions)
      : sessions_(std::move(sessions)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<Registrar::Counts> sessions_;
};

}  // namespace dunlin::broker
