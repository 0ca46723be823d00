#include "services/runtime/listen.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin {
namespace {

// The kernel lowers it to net.core.somaxconn.
constexpr int kBacklog = 4096;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<AddressList> Resolve(const HostPort& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), fmt::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        fmt::format("cannot resolve {}: {}", address.host, gai_strerror(error)));
  }
  return AddressList(found, &freeaddrinfo);
}

// What the last call said. An address that this machine does not have is told apart, because a
// name such as localhost may have an IPv6 address on a machine without IPv6.
absl::Status Failed(const char* call) {
  const int error = errno;
  const absl::Status status = absl::ErrnoToStatus(error, call);
  if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) return status;
  return absl::UnavailableError(status.message());
}

void SetPort(sockaddr* address, uint16_t port) {
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  }
}

absl::StatusOr<uint16_t> PortOf(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, address, &size) != 0) return Failed("getsockname");
  return ntohs(address->sa_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(address)->sin_port);
}

absl::StatusOr<UniqueFd> ListenOn(const addrinfo& one, bool only_address) {
  UniqueFd fd(socket(one.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return Failed("socket");
  const int on = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
    return Failed("SO_REUSEADDR");
  }
  if (one.ai_family == AF_INET6) {
    // A name may stand for both families, and then each has a socket of its own.
    const int v6_only = only_address ? 0 : 1;
    if (setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0) {
      return Failed("IPV6_V6ONLY");
    }
  }
  if (bind(fd.get(), one.ai_addr, one.ai_addrlen) != 0) return Failed("bind");
  if (listen(fd.get(), kBacklog) != 0) return Failed("listen");
  return fd;
}

}  // namespace

absl::StatusOr<ListenSockets> Listen(const HostPort& address) {
  ASSIGN_OR_RETURN(const AddressList addresses, Resolve(address));
  ListenSockets sockets{.fds = {}, .port = address.port};
  const bool only_address = addresses->ai_next == nullptr;
  for (addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    SetPort(one->ai_addr, sockets.port);
    absl::StatusOr<UniqueFd> fd = ListenOn(*one, only_address);
    if (!only_address && absl::IsUnavailable(fd.status())) continue;
    if (!fd.ok()) {
      return absl::Status(fd.status().code(),
                          ToAbsl(fmt::format("cannot listen on {}: {}", FormatHostPort(address),
                                             FromAbsl(fd.status().message()))));
    }
    ASSIGN_OR_RETURN(sockets.port, PortOf(fd->get()));
    sockets.fds.push_back(*std::move(fd));
  }
  if (sockets.fds.empty()) {
    return absl::UnavailableError(fmt::format(
        "cannot listen on {}: no address of it is on this machine", FormatHostPort(address)));
  }
  return sockets;
}

}  // namespace dunlin
