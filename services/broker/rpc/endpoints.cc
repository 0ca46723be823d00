#include "services/broker/rpc/endpoints.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr int kMaxPort = 65'535;
// Every queue of a route repeats what the client says of the access point.
constexpr int kMaxAddresses = 64;
constexpr size_t kMaxHost = 255;

v2::AddressScheme SchemeOf(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return v2::IPv4;
  if (inet_pton(AF_INET6, host.c_str(), &address) == 1) return v2::IPv6;
  return v2::DOMAIN_NAME;
}

}  // namespace

absl::Status CheckEndpoints(const v2::Endpoints& endpoints) {
  if (endpoints.addresses_size() > kMaxAddresses) {
    return PublicError(PublicCode::kIllegalAccessPoint,
                       fmt::format("the access point names {} addresses; at most {} are allowed",
                                   endpoints.addresses_size(), kMaxAddresses));
  }
  for (const v2::Address& address : endpoints.addresses()) {
    if (address.host().size() > kMaxHost) {
      return PublicError(PublicCode::kIllegalAccessPoint,
                         fmt::format("the access point names a host of {} bytes; at most {} are "
                                     "allowed",
                                     address.host().size(), kMaxHost));
    }
    if (address.host().empty() || address.port() < 1 || address.port() > kMaxPort) {
      return PublicError(
          PublicCode::kIllegalAccessPoint,
          fmt::format("the access point names the address \"{}\" port {}; give a host and a port "
                      "from 1 to {}",
                      address.host(), address.port(), kMaxPort));
    }
  }
  if (endpoints.addresses_size() > 0 && endpoints.scheme() == v2::ADDRESS_SCHEME_UNSPECIFIED) {
    return PublicError(PublicCode::kIllegalAccessPoint,
                       "the access point does not say whether its addresses are IPv4, IPv6 or "
                       "domain names");
  }
  return absl::OkStatus();
}

v2::Endpoints EndpointsOf(const std::string& host, int32_t port) {
  v2::Endpoints endpoints;
  endpoints.set_scheme(SchemeOf(host));
  v2::Address& address = *endpoints.add_addresses();
  address.set_host(host);
  address.set_port(port);
  return endpoints;
}

}  // namespace dunlin::broker
