// Who the members are: what the record says of it, and how the master changes it.
//
// What is confirmed by a majority has to be on every later master's disk, also when the members
// are others by then. So (QUORUM) a change is proposed when a majority of the next voters already
// has everything that is confirmed, and while nobody knows which of the two rosters is written, a
// majority of each is needed to confirm more. Hence whatever is confirmed is at each moment on a
// majority of every roster that may be the record's, and an election, which counts promises of that
// roster and takes the lease by compare-and-swap of the record they were counted by, finds it.
// In the other modes the in-sync set says who may be elected; it leaves out who is removed in the
// same write, and until that is known both sets count.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/status_macros.h"
#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

bool Member::IsOutside() const {
  return !options_.members.contains(options_.name) && !options_.learners.contains(options_.name);
}

std::string Member::WhyOutside() const {
  if (!IsOutside()) return "";
  return fmt::format(
      "{} {}: it takes no part, and what it has stays where it is; `dunlinctl replica add "
      "{}=HOST:PORT` takes it in",
      options_.name,
      of_group_ ? "is no member of the group any more" : "is not a member of the group yet",
      options_.name);
}

void Member::AdoptRoster(const GroupView& view) {
  if (!view.record.has_value() || view.record->roster.empty()) return;
  if (options_.roster == view.record->roster) return;
  options_.roster = view.record->roster;
  options_.members = options_.roster.Voters();
  options_.learners = options_.roster.Learners();
  if (!IsOutside()) return;
  candidacy_.reset();
  if (!following_.empty()) actions_.push_back(action::StopFollowing{});
  following_.clear();
  stream_ = 0;
  mirror_ready_ = false;
}

// As master, once the record has been looked at: whoever is not in it any more is told so.
void Member::AdoptSlaves() {
  if (!mastership_->in_sync().changing()) proposed_.reset();
  for (const auto& [name, stream] : mastership_->OnRoster()) {
    actions_.push_back(action::DropSlave{
        stream, absl::PermissionDeniedError(fmt::format("{} was removed from the group", name))});
  }
}

// ---- changes ----

absl::Status Member::WhyNoChange(const RosterChange& change, Instant now) const {
  if (mastership_ == nullptr) {
    return absl::FailedPreconditionError(options_.name + " is not the master; ask the master");
  }
  if (options_.roster.empty()) {
    return absl::FailedPreconditionError(
        "with replication.coordinator STATIC the members are those of replication.members: change "
        "it at all members and start them again, or let a coordinator (ETCD, KUBERNETES) keep "
        "them");
  }
  if (switch_over_.has_value()) {
    return absl::FailedPreconditionError("a switchover to " + switch_over_->target +
                                         " is under way");
  }
  const bool removes = change.kind == RosterChange::Kind::kRemove;
  if (removes && change.member == options_.name) {
    return absl::FailedPreconditionError(
        fmt::format("{0} is the master: hand over first (`dunlinctl replica switchover MEMBER`), "
                    "then remove it",
                    options_.name));
  }
  if (!mastership_->begun() || (page_.role != Role::kMaster && !(removes && change.force))) {
    return absl::UnavailableError(
        fmt::format("{} has just been elected and has not confirmed that yet; try again, or remove "
                    "by force those that are gone for good",
                    options_.name));
  }
  if (!lease_.HeldAt(now)) {
    return absl::UnavailableError("the coordinator, which keeps the members, is not reached");
  }
  if (mastership_->in_sync().changing() || updating_) {
    return absl::UnavailableError("another change of the record is under way; try again");
  }
  return absl::OkStatus();
}

absl::Status Member::WhyNotRemove(const RosterChange& change, Instant now) const {
  const MemberName& name = change.member;
  if (!options_.members.contains(name)) return absl::OkStatus();  // a learner
  if (change.force && mastership_->slaves().at(name).stream != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} is connected: --force is for those that are gone for good", name));
  }
  std::set<MemberName> voters = options_.members;
  voters.erase(name);
  if (options_.mode == Mode::kQuorum) {
    if (change.force && mastership_->EnoughMembers(now) == Accepting::kNoQuorum) {
      return absl::OkStatus();
    }
    return mastership_->WhyNotVoters(voters, log_, confirm_);
  }
  if (options_.mode == Mode::kAsync || change.force) return absl::OkStatus();
  if (voters.size() < options_.min_in_sync) {
    return absl::FailedPreconditionError(
        fmt::format("without {} only {} could be in sync, and replication.min_in_sync is {}: add "
                    "another member first",
                    name, fmt::join(voters, ", "), options_.min_in_sync));
  }
  std::set<MemberName> in_sync = mastership_->in_sync().written();
  in_sync.erase(name);
  if (in_sync.size() < options_.min_in_sync) {
    return absl::FailedPreconditionError(
        fmt::format("without {} only {} would be in sync, and replication.min_in_sync is {}: wait "
                    "until others have caught up",
                    name, fmt::join(in_sync, ", "), options_.min_in_sync));
  }
  return absl::OkStatus();
}

absl::Status Member::ChangeRoster(const RosterChange& change, Instant now) {
  RETURN_IF_ERROR(WhyNoChange(change, now));
  ASSIGN_OR_RETURN(Roster next, Changed(options_.roster, change));
  if (next == options_.roster && next == view_->record->roster) return absl::OkStatus();
  if (change.kind == RosterChange::Kind::kRemove) RETURN_IF_ERROR(WhyNotRemove(change, now));
  ProposeRoster(std::move(next));
  Advance(now);
  return absl::OkStatus();
}

void Member::ProposeRoster(Roster next) {
  const std::set<MemberName> voters = next.Voters();
  std::set<MemberName> in_sync;
  if (options_.mode == Mode::kQuorum) {
    in_sync = voters;
    mastership_->ProposeVoters(voters);
  } else {
    for (const MemberName& name : mastership_->in_sync().written()) {
      if (voters.contains(name)) in_sync.insert(name);
    }
  }
  GroupRecord record = *view_->record;
  record.roster = std::move(next);
  ProposeRecord(std::move(in_sync), std::move(record));
}

// The union counts from the moment a change is proposed, before it leaves: AdvanceConfirm ran with
// the old set, and what it confirmed the joining member has.
void Member::ProposeRecord(std::set<MemberName> in_sync, GroupRecord record) {
  record.in_sync = in_sync;
  mastership_->in_sync().Propose(std::move(in_sync));
  proposed_ = std::move(record);
}

// Who joins and has caught up counts from now on.
void Member::PromoteJoining(Instant now) {
  if (page_.role != Role::kMaster || switch_over_.has_value()) return;
  for (const auto& [name, entry] : options_.roster.entries) {
    if (entry.seat != Seat::kJoining || !mastership_->IsCaughtUp(name, now)) continue;
    Roster next = options_.roster;
    next.entries.at(name).seat = Seat::kVoter;
    const bool may = options_.mode != Mode::kQuorum ||
                     mastership_->WhyNotVoters(next.Voters(), log_, confirm_).ok();
    if (may) return ProposeRoster(std::move(next));
  }
}

void Member::AdvanceRecord(Instant now) {
  InSyncSet& set = mastership_->in_sync();
  if (updating_ || now < update_at_ || !lease_.HeldAt(now)) return;
  if (!set.changing()) {
    std::optional<std::set<MemberName>> wanted = mastership_->WantedSet(confirm_, now);
    if (wanted.has_value()) {
      ProposeRecord(*std::move(wanted), *view_->record);
    } else {
      PromoteJoining(now);
    }
  }
  if (!set.changing()) return;
  CHECK(proposed_.has_value());
  updating_ = true;
  actions_.push_back(action::Update{set.version(), *proposed_});
}

}  // namespace dunlin::replicator
