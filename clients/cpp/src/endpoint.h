// Addresses as text and as the contract has them.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::internal {

// The parts of "a:1,b:2", without those that are empty.
std::vector<std::string> SplitEndpoints(std::string_view text);

// "host:port" and "[ipv6]:port". Without addresses when it is neither: a name that only gRPC
// understands.
apache::rocketmq::v2::Endpoints ParseEndpoint(std::string_view endpoint);

// The first address; empty when there is none.
std::string FormatEndpoint(const apache::rocketmq::v2::Endpoints& endpoints);

}  // namespace dunlin::internal
