// Keeper: one kind of cluster resources (planner/cluster_resource.h), asked of and changed at one
// broker group's master.

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/controller/broker_admin.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/cluster_resource.h"

namespace dunlin::op {

// Thread-safe. All that asks a broker waits for its answer, some seconds at most; errors are those
// of BrokerAdmin::Ask.
class Keeper {
 public:
  virtual ~Keeper() = default;

  virtual const k8s::ResourceType& Type() const = 0;
  // Before any broker is asked: sees to what it needs in Kubernetes, and says what is in the way.
  // An error: it could not see to it, and is to be asked again.
  virtual absl::StatusOr<Obstacle> Prepare(const k8s::Json& resource) = 0;

  virtual absl::StatusOr<Found> Look(const BrokerAt& at, const k8s::Json& resource) = 0;
  // As it is then. Differences that are left are what the broker does not take over.
  virtual absl::StatusOr<Found> Create(const BrokerAt& at, const k8s::Json& resource) = 0;
  virtual absl::StatusOr<Found> Update(const BrokerAt& at, const k8s::Json& resource) = 0;
  // OK as well when it is not there.
  virtual absl::Status Delete(const BrokerAt& at, const k8s::Json& resource) = 0;
};

class TopicKeeper final : public Keeper {
 public:
  // `admin` outlives this.
  explicit TopicKeeper(BrokerAdmin& admin) : admin_(admin) {}

  const k8s::ResourceType& Type() const override;
  absl::StatusOr<Obstacle> Prepare(const k8s::Json& resource) override;
  absl::StatusOr<Found> Look(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Create(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Update(const BrokerAt& at, const k8s::Json& resource) override;
  absl::Status Delete(const BrokerAt& at, const k8s::Json& resource) override;

 private:
  BrokerAdmin& admin_;
};

class ConsumerGroupKeeper final : public Keeper {
 public:
  // `admin` outlives this.
  explicit ConsumerGroupKeeper(BrokerAdmin& admin) : admin_(admin) {}

  const k8s::ResourceType& Type() const override;
  absl::StatusOr<Obstacle> Prepare(const k8s::Json& resource) override;
  absl::StatusOr<Found> Look(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Create(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Update(const BrokerAt& at, const k8s::Json& resource) override;
  absl::Status Delete(const BrokerAt& at, const k8s::Json& resource) override;

 private:
  BrokerAdmin& admin_;
};

}  // namespace dunlin::op
