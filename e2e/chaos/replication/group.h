// Group: a broker group under test: an etcd, and members that are one or two processes each, on
// loopback.
//
// One thread. Programs are killed when it goes.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "e2e/chaos/replication/network.h"
#include "e2e/harness/program.h"
#include "proto/dunlin/replication/v1/replication.pb.h"

namespace dunlin::e2e {

struct GroupOptions {
  std::string broker;      // path of dunlin-broker, or of dunlin
  std::string replicator;  // path of dunlin-replicator; empty: members are one process, dunlin
  std::string directory;   // of everything that is written
  std::string stores;      // where the stores are instead, if that is another place
  bool network = false;    // each member, and etcd, on a machine of its own (needs root)
  std::string mode = "SYNC";
  bool sync_flush = false;
  uint64_t segment_bytes = uint64_t{16} << 20;
  std::vector<std::string> settings;  // further ones, of all members
  int spares = 0;  // further members, that know the coordinator only until they are added
};

class Group {
 public:
  static constexpr int kMembers = 3;

  // Starts etcd, no member yet.
  static absl::StatusOr<std::unique_ptr<Group>> Make(const GroupOptions& options);

  // The number of etcd's machine in the network.
  static constexpr int kEtcd = kMembers;
  // REQUIRES: options.network.
  Network& network() { return *network_; }

  static std::string NameOf(int member) { return std::string(1, static_cast<char>('a' + member)); }

  enum class Half { kBoth, kBroker, kReplicator };

  // Members and spares.
  int size() const { return static_cast<int>(members_.size()); }
  // What of the member does not run.
  absl::Status Start(int member);
  // kill -9.
  void Kill(int member, Half half);
  // SIGSTOP to both processes: from the return on they do nothing.
  absl::Status Freeze(int member);
  // SIGCONT: they go on, as after a pause of their machine.
  absl::Status Thaw(int member);
  // SIGTERM, to the replicator first, as when a pod is taken down; both end with exit status 0.
  absl::Status Stop(int member);
  bool runs(int member) const {
    return members_[member].broker != nullptr &&
           (one_process() || members_[member].replicator != nullptr);
  }
  bool one_process() const { return options_.replicator.empty(); }
  const std::string& broker_address(int member) const { return members_[member].broker_address; }
  const std::string& replicator_address(int member) const {
    return members_[member].replicator_address;
  }
  std::string store(int member) const;
  // Both processes are still there.
  absl::Status CheckRunning() const;

  // What the member says of itself.
  absl::StatusOr<replication::v1::GetMemberResponse> Ask(int member) const;

  // Asks the master to hand over to `next`; returns when that has begun.
  absl::Status SwitchOver(int master, int next) const;

  // The number of the member that is master and takes messages.
  absl::StatusOr<int> AwaitMaster(std::chrono::seconds patience) const;
  // Returns when all members that run are in the in-sync set and have all of the master's log.
  // REQUIRES: no spares run.
  absl::Status AwaitInSync(std::chrono::seconds patience) const;

 private:
  struct Member {
    std::string broker_address;
    std::string replicator_address;
    std::unique_ptr<Program> broker;
    std::unique_ptr<Program> replicator;
    int lives = 0;
  };

  explicit Group(const GroupOptions& options)
      : options_(options), members_(static_cast<size_t>(kMembers + options.spares)) {}
  absl::Status StartEtcd();
  // The command, to be run on that machine if there is a network.
  std::vector<std::string> On(int machine, std::vector<std::string> command) const;
  std::vector<std::string> Settings(int member) const;
  std::string data(int member) const;

  const GroupOptions options_;
  std::unique_ptr<Network> network_;
  std::string etcd_address_;
  std::unique_ptr<Program> etcd_;
  std::vector<Member> members_;
};

}  // namespace dunlin::e2e
