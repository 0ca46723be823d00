// A topic as an object of the cluster: made at all chosen broker groups, or at none.

#pragma once

#include "clients/cli/connection.h"

namespace dunlin::cli {

// On success `shown` is called with what was made, which is the same everywhere but for its id.
int CreateTopicEverywhere(Connection& connection, const admin::v1::Topic& topic,
                          const std::function<void(const admin::v1::Topic&)>& shown);
// At all that have it. What is deleted cannot be brought back: when one broker refuses, says group
// by group what is where, and how to go on.
int DeleteTopicEverywhere(Connection& connection, const std::string& name);

}  // namespace dunlin::cli
