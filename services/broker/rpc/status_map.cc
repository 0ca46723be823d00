#include "services/broker/rpc/status_map.h"

#include <string>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

apache::rocketmq::v2::Status OkOnWire() {
  apache::rocketmq::v2::Status wire;
  wire.set_code(apache::rocketmq::v2::OK);
  wire.set_message("OK");
  return wire;
}

apache::rocketmq::v2::Status ToWire(const absl::Status& status) {
  if (status.ok()) return OkOnWire();
  apache::rocketmq::v2::Status wire;
  wire.set_code(static_cast<apache::rocketmq::v2::Code>(CodeOf(status)));
  wire.set_message(std::string(status.message()));
  return wire;
}

}  // namespace dunlin::broker
