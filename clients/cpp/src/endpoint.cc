#include "clients/cpp/src/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;

v2::AddressScheme SchemeOf(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return v2::IPv4;
  if (inet_pton(AF_INET6, host.c_str(), &address) == 1) return v2::IPv6;
  return v2::DOMAIN_NAME;
}

}  // namespace

std::vector<std::string> SplitEndpoints(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

v2::Endpoints ParseEndpoint(std::string_view endpoint) {
  v2::Endpoints endpoints;
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return endpoints;
  std::string_view host = endpoint.substr(0, colon);
  const std::string_view digits = endpoint.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool is_port = error == std::errc() && end == digits.data() + digits.size();
  if (!is_port || port < 1 || port > 65535) return endpoints;
  const bool has_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (has_brackets) host = host.substr(1, host.size() - 2);
  // "unix:a" and "dns:///a:1" are no hosts; nor is an IPv6 address without brackets.
  const bool is_plain = host.find_first_of(":/") == std::string_view::npos;
  if (host.empty() || has_brackets == is_plain) return endpoints;
  v2::Address& address = *endpoints.add_addresses();
  address.set_host(std::string(host));
  address.set_port(port);
  endpoints.set_scheme(SchemeOf(address.host()));
  return endpoints;
}

std::string FormatEndpoint(const v2::Endpoints& endpoints) {
  if (endpoints.addresses().empty()) return "";
  const v2::Address& address = endpoints.addresses(0);
  const bool is_ipv6 = address.host().find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", address.host(), address.port())
                 : fmt::format("{}:{}", address.host(), address.port());
}

}  // namespace dunlin::internal
