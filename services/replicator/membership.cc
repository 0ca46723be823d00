#include "services/replicator/membership.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "services/base/status_macros.h"
#include "services/runtime/host_port.h"

namespace dunlin::replicator {
namespace {

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

absl::Status AddMember(std::string_view item, Membership& membership) {
  const size_t equals = item.find('=');
  if (equals == std::string_view::npos || Trimmed(item.substr(0, equals)).empty() ||
      !ParseHostPort(Trimmed(item.substr(equals + 1))).has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("replication.members: \"{}\" is not NAME=HOST:PORT", item));
  }
  const std::string name(Trimmed(item.substr(0, equals)));
  const std::string address(Trimmed(item.substr(equals + 1)));
  if (!membership.addresses.emplace(name, address).second) {
    return absl::InvalidArgumentError(
        fmt::format("replication.members: \"{}\" is there twice", name));
  }
  membership.roster.Add(name, address, Seat::kVoter);
  return absl::OkStatus();
}

absl::Status CheckMember(const Membership& membership, std::string_view setting,
                         const std::string& name) {
  if (membership.addresses.contains(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} is \"{}\", which is not in replication.members", setting, name));
}

// Settings that say nothing together.
absl::Status CheckElections(const config::v1::ReplicationConfig& config) {
  using config::v1::ReplicationConfig;
  const bool elects =
      config.election_delay_seconds() > 0 || config.unclean_election_after_seconds() > 0;
  if (config.coordinator() == ReplicationConfig::STATIC) {
    if (!elects && config.election() == ReplicationConfig::AUTOMATIC) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "replication.election, election_delay_seconds and unclean_election_after_seconds are of "
        "elections, and with replication.coordinator STATIC there are none: leave them out");
  }
  if (config.election() == ReplicationConfig::MANUAL && elects) {
    return absl::InvalidArgumentError(
        "replication.election is MANUAL, where nobody stands for election by itself: leave out "
        "election_delay_seconds and unclean_election_after_seconds");
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (const std::string_view item = Trimmed(text.substr(0, comma)); !item.empty()) {
      items.emplace_back(item);
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

std::set<MemberName> Membership::Voters() const {
  std::set<MemberName> voters;
  for (const auto& [name, address] : addresses) {
    if (!learners.contains(name)) voters.insert(name);
  }
  return voters;
}

std::set<MemberName> Membership::Others() const {
  std::set<MemberName> others;
  for (const auto& [name, address] : addresses) {
    if (name != self) others.insert(name);
  }
  return others;
}

absl::StatusOr<Membership> ReadMembership(const config::v1::ReplicationConfig& config) {
  using config::v1::ReplicationConfig;
  RETURN_IF_ERROR(CheckElections(config));
  Membership membership;
  membership.self = config.member();
  for (const std::string& item : SplitList(config.members())) {
    RETURN_IF_ERROR(AddMember(item, membership));
  }
  // Who is to be added to a group needs to know its coordinator only.
  if (membership.addresses.empty() && config.coordinator() != ReplicationConfig::STATIC) {
    if (!config.learners().empty()) {
      return absl::InvalidArgumentError(
          "replication.learners names members, and replication.members none: who is added to a "
          "group is a learner by `dunlinctl replica add --learner`");
    }
    return membership;
  }
  // Listed are those that the group began with; its record has who came later.
  if (!membership.addresses.contains(membership.self) &&
      config.coordinator() != ReplicationConfig::STATIC) {
    return Membership{.self = membership.self};
  }
  RETURN_IF_ERROR(CheckMember(membership, "replication.member", membership.self));
  for (const std::string& item : SplitList(config.learners())) {
    RETURN_IF_ERROR(CheckMember(membership, "replication.learners", item));
    membership.learners.insert(item);
    membership.roster.entries.at(item).seat = Seat::kLearner;
  }
  const size_t voters = membership.Voters().size();
  if (voters == 0) {
    return absl::InvalidArgumentError(
        "replication.learners names all members: who shall be master?");
  }
  if (config.coordinator() == ReplicationConfig::STATIC) {
    membership.roster = {};
    if (config.mode() == ReplicationConfig::QUORUM) {
      return absl::InvalidArgumentError(
          "replication.mode is QUORUM, which elects by the promises of a majority, but "
          "replication.coordinator is STATIC, which elects nobody: choose ETCD or KUBERNETES, or "
          "the mode SYNC");
    }
    RETURN_IF_ERROR(CheckMember(membership, "replication.master", config.master()));
    if (membership.learners.contains(config.master())) {
      return absl::InvalidArgumentError(
          fmt::format("replication.master is \"{}\", which is a learner", config.master()));
    }
  }
  if (config.mode() == ReplicationConfig::SYNC && config.min_in_sync() > voters) {
    return absl::InvalidArgumentError(
        fmt::format("replication.min_in_sync is {}, but only {} members can be in sync",
                    config.min_in_sync(), voters));
  }
  return membership;
}

}  // namespace dunlin::replicator
