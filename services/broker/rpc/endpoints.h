// Endpoints: where a server is, as clients and servers say it. Pure.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::broker {

// ILLEGAL_ACCESS_POINT for endpoints that no client could use; empty ones are fine.
absl::Status CheckEndpoints(const apache::rocketmq::v2::Endpoints& endpoints);

// One address; the scheme is what the host looks like.
apache::rocketmq::v2::Endpoints EndpointsOf(const std::string& host, int32_t port);

}  // namespace dunlin::broker
