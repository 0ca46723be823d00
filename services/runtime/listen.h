// Listen: opens the listening sockets of a host and port.

#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

#include "services/runtime/host_port.h"
#include "services/runtime/unique_fd.h"

namespace dunlin {

struct ListenSockets {
  std::vector<UniqueFd> fds;  // one per address of the host; non-blocking
  uint16_t port = 0;          // the same for all; the real one when 0 was asked for
};

// Listens on every address of `address.host`; "::" takes IPv4 as well. INVALID_ARGUMENT: the host
// has no address. UNAVAILABLE: none of them is on this machine. Other errors are the kernel's
// (FAILED_PRECONDITION when the port is taken, PERMISSION_DENIED). May wait for the resolver when
// the host is a name.
absl::StatusOr<ListenSockets> Listen(const HostPort& address);

}  // namespace dunlin
