#include "services/broker/registration/name_service_ports.h"

#include <optional>
#include <string>

#include "services/runtime/host_port.h"

namespace dunlin::broker {

std::vector<int32_t> NameServicePorts(const config::v1::DunlinConfig& config) {
  std::vector<std::string> addresses(config.broker().name_services().begin(),
                                     config.broker().name_services().end());
  if (config.name_service().enabled()) {
    addresses.push_back(config.name_service().server().listen_address());
    addresses.push_back(config.name_service().server().advertised_address());
  }
  std::vector<int32_t> ports;
  for (const std::string& address : addresses) {
    const std::optional<HostPort> parsed = ParseHostPort(address);
    if (parsed.has_value() && parsed->port != 0) ports.push_back(parsed->port);
  }
  return ports;
}

}  // namespace dunlin::broker
