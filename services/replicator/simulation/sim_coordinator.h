// SimCoordinator: a linearizable record and lease in a World, behind the Coordinator interface.
//
// Requests and answers travel the simulated network: they are lost, late, and carried out after
// their sender has given up waiting.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/simulation/world.h"

namespace dunlin::replicator::simulation {

class SimCoordinator {
 public:
  // Where the coordinator is on the network.
  static constexpr int kPlace = 1000;

  // What a coordinator's client gets wrong, to see that the checks find it.
  struct Faults {
    bool in_sync_has_everyone = false;   // views name who looks as in sync
    bool update_without_asking = false;  // Update succeeds at once, and is not written
  };

  SimCoordinator(World& world, Duration ttl) : world_(world), ttl_(ttl) {}

  struct ClientOptions {
    int place;
    MemberName member;
    InstantSource clock;                                 // the member's own
    std::function<void(std::function<void()>)> deliver;  // runs it when the member can
    Faults faults;
  };
  std::unique_ptr<Coordinator> Connect(ClientOptions options);

  const GroupView& view() const { return view_; }

 private:
  class Client;
  struct Answer {
    bool accepted;
    GroupView view;
    uint64_t lease_id = 0;
  };

  Answer Elect(int64_t version, const GroupRecord& record, const MemberName& member);
  Answer Update(int64_t version, const GroupRecord& record, uint64_t lease_id);
  Answer KeepAlive(uint64_t lease_id);
  Answer Release(int64_t version, const GroupRecord& record, const MemberName& member);
  void ExpireAt(uint64_t lease_id, Instant moment);
  void Changed();

  World& world_;
  const Duration ttl_;
  GroupView view_{.revision = 1, .version = 0, .record = {}, .lease = {}};
  uint64_t lease_id_ = 0;  // of the lease in the view
  uint64_t next_lease_id_ = 0;
  Instant lease_until_;
  std::vector<Client*> clients_;
};

}  // namespace dunlin::replicator::simulation
