// RawClient: a TCP connection of a test, to misbehave below HTTP/2.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "services/runtime/unique_fd.h"

namespace dunlin {

class RawClient {
 public:
  // Connects to 127.0.0.1, or to ::1.
  explicit RawClient(uint16_t port, bool ipv6 = false)
      : fd_(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    connected_ = connect(fd_.get(),
                         ipv6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4),
                         ipv6 ? sizeof(v6) : sizeof(v4)) == 0;
  }

  bool connected() const { return connected_; }
  bool Send(std::string_view bytes) {
    return send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // True when the server closes the connection within `patience`; what it sends is skipped.
  bool ClosedWithin(std::chrono::milliseconds patience) { return Drain(patience).closed; }
  // What the server sends until it closes the connection, or until `patience` ends.
  std::string ReadAll(std::chrono::milliseconds patience) { return Drain(patience).text; }
  void Close() { fd_.Reset(); }

 private:
  struct Drained {
    bool closed = false;
    std::string text;
  };

  Drained Drain(std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    Drained drained;
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      pollfd poll_fd{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left.count() <= 0 || poll(&poll_fd, 1, static_cast<int>(left.count())) == 0) {
        return drained;
      }
      char buffer[4096];
      const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      drained.closed = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
      if (drained.closed) return drained;
      if (got > 0) drained.text.append(buffer, static_cast<size_t>(got));
    }
  }

  UniqueFd fd_;
  bool connected_ = false;
};

}  // namespace dunlin
