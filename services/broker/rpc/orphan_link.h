// OrphanLink: sends questions about open transactions to producers, over their Telemetry streams.

#pragma once

#include "services/broker/rpc/service_context.h"
#include "services/broker/transactions/checker.h"

namespace dunlin::broker {

// Thread-safe.
class OrphanLink final : public ProducerLink {
 public:
  // `services` must outlive the link.
  explicit OrphanLink(ServiceContext& services) : services_(services) {}

  absl::StatusOr<Outcome> Ask(const Topic& topic, const store::Transaction& half) override;
  uint64_t Arrivals() const override { return services_.producer_sessions.arrivals(); }

 private:
  ServiceContext& services_;
};

}  // namespace dunlin::broker
