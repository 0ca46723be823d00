// StaticCoordinator: roles that the configuration fixes. No lease that can run out, no election.
//
// The configured master is elected whenever it asks; its epoch is one above what its log knows, so
// it grows with each start. Nothing is stored and nobody else is asked: that no two members are
// configured as master is the operator's promise.

#pragma once

#include <cstdint>
#include <optional>

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/coordinator/instant.h"
#include "services/runtime/executor.h"

namespace dunlin::replicator {

class StaticCoordinator final : public Coordinator {
 public:
  StaticCoordinator(MemberName member, MemberName master, InstantSource now = BootClock::now);
  ~StaticCoordinator() override;

  void Start(Watcher watcher) override;
  void Elect(int64_t version, const GroupRecord& record, Done done) override;
  void Update(int64_t version, const GroupRecord& record, Done done) override;
  void KeepAlive(Done done) override;
  void Release(int64_t version, const GroupRecord& record, Done done) override;
  bool elects() const override { return false; }
  void Stop() override;

 private:
  // The record becomes `record` and the lease `lease`, if the version is the present one and the
  // lease is held now or not, as `held` says.
  void Change(int64_t version, bool held, const GroupRecord& record,
              std::optional<LeaseHolder> lease, Done done);
  void Finish(absl::Status status, Done done);
  void Post(Executor::Task task);

  const MemberName member_;
  const MemberName master_;
  const InstantSource now_;
  // Of the executor's thread.
  Watcher watcher_;
  GroupView view_;
  Executor executor_;
};

}  // namespace dunlin::replicator
