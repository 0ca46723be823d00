// What a member tells of itself: the answer to GetMember, and its metrics. Pure.

#pragma once

#include <string>
#include <string_view>

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

// `problem`: what is wrong around it, in words.
dunlin::replication::v1::GetMemberResponse DescribeMember(const Member& member,
                                                          std::string_view group,
                                                          const std::string& problem, Instant now);

}  // namespace dunlin::replicator
