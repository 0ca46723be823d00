// RegistrationMetrics: whether and how a broker is registered with each of its name services, for
// Prometheus. Thread-safe; may outlive the registrar.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <utility>
#include <vector>

#include "services/broker/registration/cluster_routes.h"
#include "services/broker/registration/registrar.h"

namespace dunlin::broker {

class RegistrationMetrics final : public prometheus::Collectable {
 public:
  // `routes` may be null: nobody asks name services for the routes of other brokers.
  RegistrationMetrics(std::vector<Registrar::Counts> sessions,
                      std::shared_ptr<const ClusterRoutes::Counts> routes)
      : sessions_(std::move(sessions)), routes_(std::move(routes)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<Registrar::Counts> sessions_;
  const std::shared_ptr<const ClusterRoutes::Counts> routes_;
};

}  // namespace dunlin::broker
