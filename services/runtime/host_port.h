// HostPort: the parts of "host:port" and "[ipv6]:port". Pure; any thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dunlin {

struct HostPort {
  std::string host;  // not empty; without brackets
  uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// nullopt when `text` is neither.
std::optional<HostPort> ParseHostPort(std::string_view text);

// The inverse: brackets around a host with a colon.
std::string FormatHostPort(const HostPort& address);

}  // namespace dunlin
