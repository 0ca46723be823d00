#include "services/broker/access/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

namespace dunlin::broker {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kAddressBits = 128;

bool IsMapped(const IpAddress& address) {
  return std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
}

// Whether both agree in their first `bits`.
bool Agree(const IpAddress& a, const IpAddress& b, int bits) {
  const auto whole = static_cast<size_t>(bits) / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const int mask = 0xff << (8 - rest);
  return ((a.bytes[whole] ^ b.bytes[whole]) & mask) == 0;
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress address;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  in_addr four;
  if (inet_pton(AF_INET, terminated.c_str(), &four) != 1) return std::nullopt;
  std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
  std::memcpy(address.bytes.data() + kMapped.size(), &four, sizeof(four));
  return address;
}

IpAddress IpAddress::OfPeer(std::string_view peer) {
  const size_t port = peer.rfind(':');
  const size_t scheme = peer.find(':');
  if (scheme == std::string_view::npos || scheme == port) return {};
  std::string_view host = peer.substr(scheme + 1, port - scheme - 1);
  for (const std::string_view open : {"%5B", "%5b", "["}) {
    if (host.starts_with(open)) host.remove_prefix(open.size());
  }
  for (const std::string_view close : {"%5D", "%5d", "]"}) {
    if (host.ends_with(close)) host.remove_suffix(close.size());
  }
  return Parse(host.substr(0, host.find('%'))).value_or(IpAddress());  // without a zone
}

std::string IpAddress::Text() const {
  if (bytes == IpAddress().bytes) return "unknown";
  const bool is_v4 = IsMapped(*this);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const char* const shown =
      inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes.data() + (is_v4 ? kMapped.size() : 0),
                text.data(), text.size());
  return shown == nullptr ? "unknown" : shown;
}

std::optional<AddressRange> AddressRange::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> first = IpAddress::Parse(text.substr(0, slash));
  if (!first.has_value()) return std::nullopt;
  AddressRange range;
  range.first_ = *first;
  range.bits_ = kAddressBits;
  if (slash == std::string_view::npos) return range;
  const std::string_view length = text.substr(slash + 1);
  const bool four = text.substr(0, slash).find(':') == std::string_view::npos;
  int bits = -1;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  if (error != std::errc() || end != length.data() + length.size() || bits < 0 ||
      bits > (four ? 32 : kAddressBits)) {
    return std::nullopt;
  }
  range.bits_ = four ? kAddressBits - 32 + bits : bits;
  IpAddress rest;
  for (int bit = range.bits_; bit < kAddressBits; ++bit) {
    const auto byte = static_cast<size_t>(bit) / 8;
    rest.bytes[byte] |= static_cast<uint8_t>(range.first_.bytes[byte] & (0x80 >> (bit % 8)));
  }
  if (rest.bytes != IpAddress().bytes) return std::nullopt;
  return range;
}

bool AddressRange::Contains(const IpAddress& address) const {
  // "::/0" is IPv6; IPv4 is not in it.
  if (IsMapped(first_) != IsMapped(address)) return false;
  return Agree(first_, address, bits_);
}

}  // namespace dunlin::broker
