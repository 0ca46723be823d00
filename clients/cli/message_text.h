// A message of apache.rocketmq.v2 for people.

#pragma once

#include <string>

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::cli {

// Some lines: id, place, tag, keys, properties, body.
std::string MessageText(const apache::rocketmq::v2::Message& message);

}  // namespace dunlin::cli
