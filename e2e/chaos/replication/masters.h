// Who was master when, by what the brokers of a group wrote to their logs.

#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace dunlin::e2e {

// The epochs in which brokers served as masters, each with its member. `directory` holds their
// standard error, files MEMBER-N-broker.log. DATA_LOSS when two members served in one epoch.
absl::Status FindMasters(const std::string& directory, std::map<uint32_t, std::string>& masters);

}  // namespace dunlin::e2e
