// Settings as options of dunlinctl: what a change says, and what would put back what it changed.

#pragma once

#include <string>

#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {

// Each behind a blank, for what is set: " --queues 8 --permission READ".
std::string OptionsOf(const admin::v1::Topic& settings);
std::string OptionsOf(const admin::v1::Group& settings);

}  // namespace dunlin::cli
