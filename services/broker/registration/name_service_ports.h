// The ports of the name services that clients may have as access point: those of the cluster, and
// the one in the same process. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"

namespace dunlin::broker {

std::vector<int32_t> NameServicePorts(const config::v1::DunlinConfig& config);

}  // namespace dunlin::broker
