// What Topics and ConsumerGroups declare, in the words of brokers (proto/dunlin/admin/v1), and in
// what a broker's differ from it. Pure; any thread.
//
// A field that has neither a value nor a default is not the operator's: the broker's default when
// the thing is made, and later as it is there. Those are the description of both kinds, and
// maxAttempts and retry of ConsumerGroups. A limit that is not there is no limit.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"
#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::op {

// As it is to be created or updated. INVALID_ARGUMENT: the spec cannot be kept by any broker; names
// the field.
absl::StatusOr<admin::v1::Topic> TopicOf(const k8s::Json& resource);
// What begins with Last begins when the resource was made, at whichever broker and whenever.
absl::StatusOr<admin::v1::Group> ConsumerGroupOf(const k8s::Json& resource);
// Where such a group begins at a broker that has it already is not the resource's, which may have
// been made anew since: messages in between would be left out.
bool BeginsWithLast(const k8s::Json& consumer_group);

// What is not in `there` as it is in `wanted`, for people: "queues: 4, to be 8".
std::vector<std::string> DifferencesOf(const admin::v1::Topic& wanted,
                                       const admin::v1::Topic& there);
std::vector<std::string> DifferencesOf(const admin::v1::Group& wanted,
                                       const admin::v1::Group& there);

}  // namespace dunlin::op
