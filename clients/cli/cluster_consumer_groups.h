// A consumer group as an object of the cluster: made at all chosen broker groups, or at none;
// changed and deleted at all that have it. Brokers may also have made it for its first consumer.

#pragma once

#include <functional>
#include <string>

#include "clients/cli/connection.h"

namespace dunlin::cli {

using ShowGroup = std::function<void(const admin::v1::Group&)>;

// As for topics (cluster_topics.h).
int CreateGroupEverywhere(Connection& connection, const admin::v1::Group& group,
                          const ShowGroup& shown);
// Pauses or resumes it when that is what is set, and then nothing else.
int UpdateGroupEverywhere(Connection& connection, const admin::v1::Group& change,
                          const ShowGroup& shown);
int DeleteGroupEverywhere(Connection& connection, const std::string& name);

}  // namespace dunlin::cli
