// A topic as an object of the cluster: made at all chosen broker groups, or at none; changed and
// deleted at all that have it.

#pragma once

#include <functional>
#include <string>

#include "clients/cli/connection.h"

namespace dunlin::cli {

using ShowTopic = std::function<void(const admin::v1::Topic&)>;

// On success `shown` is called with what was made, which is the same everywhere but for its id.
int CreateTopicEverywhere(Connection& connection, const admin::v1::Topic& topic,
                          const ShowTopic& shown);
// At all that have it, or at none: as UpdateTopic takes it, what is not set stays as it is. When
// one does not do it, the others get back what they had; what could not be put back is told.
int UpdateTopicEverywhere(Connection& connection, const admin::v1::Topic& change,
                          const ShowTopic& shown);
// At all that have it. What is deleted cannot be brought back: when one broker refuses, says group
// by group what is where, and how to go on.
int DeleteTopicEverywhere(Connection& connection, const std::string& name);

}  // namespace dunlin::cli
