#include "services/runtime/host_port.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace dunlin {

std::optional<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find_first_of("[] \t") != std::string_view::npos) return std::nullopt;
  } else if (host.empty() || host.find_first_of(":[]/ \t") != std::string_view::npos) {
    return std::nullopt;
  }
  HostPort address{.host = std::string(host)};
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, address.port);
  if (error != std::errc() || stop != end) return std::nullopt;
  return address;
}

std::string FormatHostPort(const HostPort& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", address.host, address.port)
              : fmt::format("{}:{}", address.host, address.port);
}

}  // namespace dunlin
