// Membership: who is in the broker group, from the configuration.

#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/coordinator/roster.h"

namespace dunlin::replicator {

struct Membership {
  MemberName self;
  std::map<MemberName, std::string> addresses;  // of all, this one included
  std::set<MemberName> learners;
  // With ids by their place in the list; empty: the members never change (STATIC), or this one is
  // not among those of the beginning and waits until it is added.
  Roster roster;

  std::set<MemberName> Voters() const;
  std::set<MemberName> Others() const;
};

// "a, b,c" as its items.
std::vector<std::string> SplitList(std::string_view text);

// INVALID_ARGUMENT names the setting that is wrong, and what it should be.
absl::StatusOr<Membership> ReadMembership(const config::v1::ReplicationConfig& config);

}  // namespace dunlin::replicator
