// UserKeeper: users at brokers, with secrets that are in Secrets of Kubernetes.
//
// A Secret that is not there is made with a random secret, where the User says so; one that is
// there is never changed. What brokers tell of a secret is its fingerprint, by which it is seen
// whether they have that of the Secret.

#pragma once

#include "operator/controller/broker_admin.h"
#include "operator/controller/caches.h"
#include "operator/controller/keeper.h"
#include "operator/controller/writer.h"
#include "operator/k8s/event_recorder.h"
#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::op {

class UserKeeper final : public Keeper {
 public:
  // All outlive this. REQUIRES: `caches` watches Secrets.
  UserKeeper(BrokerAdmin& admin, const Caches& caches, const Writer& writer,
             k8s::EventRecorder& events)
      : admin_(admin), caches_(caches), writer_(writer), events_(events) {}

  const k8s::ResourceType& Type() const override;
  absl::StatusOr<Obstacle> Prepare(const k8s::Json& resource) override;
  absl::StatusOr<Found> Look(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Create(const BrokerAt& at, const k8s::Json& resource) override;
  absl::StatusOr<Found> Update(const BrokerAt& at, const k8s::Json& resource) override;
  absl::Status Delete(const BrokerAt& at, const k8s::Json& resource) override;

 private:
  k8s::Object SecretOf(const k8s::Json& resource) const;
  absl::StatusOr<Obstacle> MakeSecret(const k8s::Json& resource) const;
  absl::StatusOr<admin::v1::User> Wanted(const k8s::Json& resource) const;

  BrokerAdmin& admin_;
  const Caches& caches_;
  const Writer& writer_;
  k8s::EventRecorder& events_;
};

}  // namespace dunlin::op
