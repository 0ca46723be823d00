// Which of the brokers that hold a topic a request goes to, and what is said when it cannot. Pure.

#pragma once

#include <grpcpp/support/status.h>

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/rpc/destination.h"

namespace dunlin::broker {

// Where each is, "host:port", by name.
using Holders = std::map<std::string, std::string>;

struct Holder {
  std::string broker;
  std::string address;
};

// Where a broker is, as a client may connect to it; empty when nobody has said.
std::string AddressOf(const apache::rocketmq::v2::Endpoints& endpoints);

// The one that the request says; the only one when it says none. HA_NOT_AVAILABLE: that one is not
// among them; NOT_IMPLEMENTED: there are several, and it does not say which.
absl::StatusOr<Holder> ChooseHolder(const Holders& holders, const Destination& to,
                                    std::string_view method);

// "/package.Service/Method" of a method of apache.rocketmq.v2.MessagingService.
std::string PublicMethod(std::string_view name);

// Nobody answered for the broker: PROXY_TIMEOUT, TOO_MANY_REQUESTS or INTERNAL_SERVER_ERROR.
absl::Status NotPassedOn(const Holder& holder, const grpc::Status& status);

}  // namespace dunlin::broker
