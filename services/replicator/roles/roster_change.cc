#include "services/replicator/roles/roster_change.h"

#include <fmt/format.h>

#include <utility>

#include "absl/status/status.h"

namespace dunlin::replicator {
namespace {

absl::Status CheckAddress(const Roster& roster, const RosterChange& change) {
  for (const auto& [name, entry] : roster.entries) {
    if (name != change.member && entry.address == change.address) {
      return absl::FailedPreconditionError(
          fmt::format("{} is the address of {}", change.address, name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Roster> Added(Roster roster, const RosterChange& change) {
  const auto found = roster.entries.find(change.member);
  if (found == roster.entries.end()) {
    if (roster.entries.size() >= kMaxMembers) {
      return absl::FailedPreconditionError(
          fmt::format("the group has {} members, which is the limit", kMaxMembers));
    }
    roster.Add(change.member, change.address, change.learner ? Seat::kLearner : Seat::kJoining);
    return roster;
  }
  RosterEntry& entry = found->second;
  if (entry.address != change.address) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a member already, at {}: `dunlinctl replica set-address` changes that",
                    change.member, entry.address));
  }
  if (change.learner && entry.seat != Seat::kLearner) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is a member that counts: to make it a learner remove it first", change.member));
  }
  if (!change.learner && entry.seat == Seat::kLearner) entry.seat = Seat::kJoining;
  return roster;
}

}  // namespace

std::string RosterChange::ToString() const {
  switch (kind) {
    case Kind::kAdd:
      return fmt::format("add {}={}{}", member, address, learner ? " as learner" : "");
    case Kind::kRemove:
      return fmt::format("remove {}{}", member, force ? " by force" : "");
    case Kind::kSetAddress:
      return fmt::format("set-address {}={}", member, address);
  }
  return "";
}

absl::StatusOr<Roster> Changed(const Roster& roster, const RosterChange& change) {
  if (change.kind != RosterChange::Kind::kRemove) {
    if (absl::Status status = CheckAddress(roster, change); !status.ok()) return status;
  }
  if (change.kind == RosterChange::Kind::kAdd) return Added(roster, change);
  Roster next = roster;
  const auto found = next.entries.find(change.member);
  if (change.kind == RosterChange::Kind::kRemove) {
    if (found != next.entries.end()) next.entries.erase(found);
    return next;
  }
  if (found == next.entries.end()) {
    return absl::NotFoundError(
        fmt::format("{} is not a member; `dunlinctl replica add` adds one", change.member));
  }
  found->second.address = change.address;
  return next;
}

}  // namespace dunlin::replicator
