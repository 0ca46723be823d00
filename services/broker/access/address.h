// IP addresses that callers come from, and ranges of them. Pure.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dunlin::broker {

// IPv4 as the IPv6 address that stands for it; of a caller without one (a socket file) all zero.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  static std::optional<IpAddress> Parse(std::string_view text);
  // As gRPC names who is at the other end: "ipv4:10.0.0.1:4711", "ipv6:%5B::1%5D:4711".
  static IpAddress OfPeer(std::string_view peer);

  // "10.0.0.1", "fd00::1"; "unknown" without one.
  std::string Text() const;
};

class AddressRange {
 public:
  // "10.0.0.0/8", or an address alone. nullopt: it is neither, or has bits behind the prefix.
  static std::optional<AddressRange> Parse(std::string_view text);

  bool Contains(const IpAddress& address) const;

 private:
  IpAddress first_;
  int bits_ = 0;  // of the IPv6 address that are the same
};

}  // namespace dunlin::broker
