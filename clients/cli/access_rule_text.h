// Rules of users as people write them: RESOURCE:NAME:ACTION[,ACTION...][@RANGE[,RANGE...]], for the
// cluster without a name. `*` alone is any name, at its end what begins so.
//
//   topic:orders:pub,sub   topic:ns/orders*:pub   group:*:sub   cluster:get group:g:all@10.0.0.0/8

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {

// INVALID_ARGUMENT: which part of it is wrong, and what may stand there.
absl::StatusOr<admin::v1::AccessRule> ParseRule(std::string_view text,
                                                admin::v1::AccessRule::Decision decision);

// What ParseRule reads; of ranges and actions in the order they have. Without the decision.
std::string RuleText(const admin::v1::AccessRule& rule);

}  // namespace dunlin::cli
