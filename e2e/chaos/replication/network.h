// Network: machines made of network namespaces on one bridge, and the ways between them.
//
// This machine has an address on the bridge too: it is where clients are. A way is cut in one
// direction, silently: the sender is taught a hardware address of the receiver that nobody has, so
// that what it sends gets lost on the bridge. Connections stay as they are and run into silence, as
// on a broken network. Needs root and iproute2. One thread; all of it is gone with the object.

#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e {

class Network {
 public:
  // This machine, in Cut and Mend.
  static constexpr int kHost = -1;

  // Machines 0 to `machines` - 1. What tools print goes to `log`. FAILED_PRECONDITION, with the
  // mend, where this machine cannot.
  static absl::StatusOr<std::unique_ptr<Network>> Make(int machines, const std::string& log);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  std::string Address(int machine) const;
  // What a command begins with to run there.
  std::vector<std::string> On(int machine) const;

  // What `from` sends to `to` gets lost.
  absl::Status Cut(int from, int to);
  absl::Status CutBothWays(int one, int other);
  absl::Status Mend(int from, int to);
  // Mends all that is cut.
  absl::Status Heal();

 private:
  Network(std::string prefix, std::string subnet, int machines, std::string log);
  absl::Status Build();
  absl::Status Add(int machine);
  std::string Namespace(int machine) const;
  absl::Status Neighbour(int from, int to, const std::string& verb);
  absl::Status Ip(std::vector<std::string> words) const;

  const std::string prefix_;  // of all names; the bridge's own
  const std::string subnet_;  // "10.78.12"
  const int machines_;
  const std::string log_;
  std::set<std::pair<int, int>> cuts_;  // from, to
};

}  // namespace dunlin::e2e
