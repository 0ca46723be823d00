// A member on its way to be master, and as master.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

// ---- election ----

void Member::AdvanceCandidate(Instant now) {
  if (!view_.has_value() || electing_.has_value() || releasing_) return;
  if (IsLeaseMine()) {
    // Of a former life, or of a proposal whose outcome was not known: nobody renews it.
    if (now >= release_at_) SendRelease("");
    return;
  }
  if (now < stand_not_before_ || now < AbstainsUntil()) return;
  if (candidacy_ == nullptr) StandForElection(now);
  if (candidacy_ == nullptr) return;
  switch (candidacy_->Next(now)) {
    case Candidacy::Step::kWait:
      return;
    case Candidacy::Step::kPromise:
      See(candidacy_->epoch());
      attempt_version_ = candidacy_->version();
      attempt_epoch_ = candidacy_->epoch();
      DropOldStream();
      Persist(candidacy_->epoch());
      actions_.push_back(action::AskPromises{candidacy_->epoch()});
      if (promise_.has_value() && *promise_ >= candidacy_->epoch()) candidacy_->OnOwnPromise();
      return;
    case Candidacy::Step::kGiveUp:
      See(candidacy_->highest_epoch());
      candidacy_.reset();
      stand_not_before_ = now + options_.retry_time;
      return;
    case Candidacy::Step::kElect:
      if (candidacy_->kind() == Candidacy::Kind::kClean) return Propose(candidacy_->epoch(), "");
      Propose(candidacy_->epoch(),
              UncleanWarning("nobody who has all that was acknowledged came, and "
                             "replication.unclean_election_after_seconds elects"));
      return;
  }
}

void Member::StandForElection(Instant now) {
  const bool unclean = MayStandUnclean(now);
  const bool clean = WhyNotElectable().empty() && now >= vacancy_.StandsAt(options_, *view_, now);
  if (!clean && !unclean) return;
  // An attempt that is made again asks for the same epoch: a member that cannot win does not drive
  // the epochs of the others up.
  Epoch seen = highest_epoch_;
  if (attempt_version_ == view_->version && attempt_epoch_ == seen && seen > Epoch(0)) {
    seen = seen - 1;
  }
  seen = std::max(seen, log_.history.last());
  // With QUORUM it is the promises of others that are lacking then.
  const bool as_it_is = unclean && (!clean || options_.mode == Mode::kQuorum);
  candidacy_ =
      std::make_unique<Candidacy>(options_, position(), *view_, seen, now,
                                  as_it_is ? Candidacy::Kind::kUnclean : Candidacy::Kind::kClean);
  actions_.push_back(action::AskPeers{});
}

// Only a store that has had all of the group's log once, and knows of nothing that it lost since.
bool Member::MayStandUnclean(Instant now) const {
  return now >= vacancy_.UncleanAt(options_) && view_->record.has_value() &&
         !view_->lease.has_value() && !IsOutside() && !leaving_ && of_group_ && !HasNothing() &&
         promise_.has_value() && !log_.damaged.has_value() &&
         options_.members.contains(options_.name);
}

std::string Member::UncleanWarning(std::string_view who) const {
  return fmt::format(
      "{} {} as it is: log {} up to {}, at least {} confirmed; confirmed records that only other "
      "members have are lost",
      who, options_.name, log_.history.ToString(), log_.end.value(), confirm_.value());
}

// Why this member, which could be elected, does not stand yet.
std::string Member::WhyWaits() const {
  const Instant stands = vacancy_.StandsAt(options_, *view_, advanced_at_);
  if (advanced_at_ >= stands) return "";
  const MemberName& former = view_->record->master;
  if (options_.manual_election) {
    return fmt::format(
        "no master; replication.election is MANUAL: waits for {}, or for `dunlinctl replica elect`",
        former);
  }
  return fmt::format("no master; waits up to {} s more for {} (replication.election_delay_seconds)",
                     std::chrono::ceil<std::chrono::seconds>(stands - advanced_at_).count(),
                     former);
}

void Member::Propose(Epoch epoch, std::string warning) {
  GroupRecord record = view_->record.value_or(GroupRecord{});
  record.epoch = epoch;
  record.master = options_.name;
  record.preferred.clear();
  if (record.roster.empty()) record.roster = options_.roster;
  if (!warning.empty()) {
    record.unclean_epoch = epoch;
    record.in_sync = {options_.name};
  } else if (options_.mode == Mode::kQuorum) {
    record.in_sync = options_.members;
  } else if (record.in_sync.empty()) {
    record.in_sync = {options_.name};
  } else if (options_.mode == Mode::kSync && view_->record->master != options_.name &&
             record.in_sync.size() > options_.min_in_sync) {
    // The former master is gone, most likely, or needs a moment before it can follow: what has to
    // be confirmed for this one to begin does not wait for it. It joins like any other.
    record.in_sync.erase(view_->record->master);
  }
  electing_ = epoch;
  candidacy_.reset();
  actions_.push_back(action::Elect{view_->version, std::move(record), std::move(warning)});
}

void Member::OnElected(const Coordinator::Result& result, Instant now) {
  const std::optional<Epoch> epoch = std::exchange(electing_, std::nullopt);
  if (!result.status.ok()) {
    stand_not_before_ = now + options_.retry_time;
    AdoptResult(result, now);
    Advance(now);
    return;
  }
  CHECK(epoch.has_value());  // Elect is asked for by this class alone
  AdoptResult(result, now);
  // By now the coordinator may say something else, or nothing: an operator deleted the record.
  const bool holds = IsLeaseMine() && view_->lease->epoch == *epoch && view_->record.has_value() &&
                     view_->record->epoch == *epoch;
  if (!holds || highest_epoch_ > *epoch || !failure_.empty()) {
    if (IsLeaseMine()) SendRelease("");
    Advance(now);
    return;
  }
  if (!following_.empty()) actions_.push_back(action::StopFollowing{});
  following_.clear();
  stream_ = 0;
  mirror_ready_ = false;
  lease_.Extend(result.sent, result.ttl);
  keep_alive_at_ = lease_.RenewAt();
  pledges_ = Pledges();
  RequirePledges();
  pledges_asked_at_ = Instant();
  mastership_ =
      std::make_unique<Mastership>(options_, *epoch, view_->version, view_->record->in_sync, now);
  actions_.push_back(action::BeginEpoch{*epoch});
  Advance(now);
}

void Member::OnEpochBegun(Epoch epoch, const LogState& log, Instant now) {
  log_ = log;
  of_group_ = true;
  See(log_.history.last());
  if (mastership_ != nullptr && mastership_->epoch() == epoch) {
    const std::optional<LogOffset> start = log_.history.StartOf(epoch);
    CHECK(start.has_value());
    mastership_->Begin(*start);
  }
  end_moved_at_ = now;
  Advance(now);
}

void Member::OnPeerState(const MemberName& peer, const PeerState& state, Instant now) {
  if (candidacy_ != nullptr) candidacy_->OnPeerState(peer, state);
  Advance(now);
}

void Member::OnPromiseAnswer(const MemberName& peer, const PromiseAnswer& answer, Instant now) {
  if (candidacy_ != nullptr) candidacy_->OnPromiseAnswer(peer, answer);
  Advance(now);
}

// Why nobody may have this member elected now, as it is or not.
std::string Member::WhyNoElection(Instant now) const {
  if (!view_.has_value()) return "the coordinator has not answered yet; try again";
  if (!failure_.empty()) return "the log failed: " + failure_;
  if (IsOutside()) return WhyOutside();
  if (!options_.members.contains(options_.name)) return options_.name + " is a learner";
  if (view_->lease.has_value()) {
    return fmt::format(
        "{} holds the lease of epoch {}, which ends some seconds after it has gone; an election is "
        "for a group without a master",
        view_->lease->name, view_->lease->epoch.value());
  }
  if (electing_.has_value()) return "an election is under way";
  const std::string why = WhyAbstains(now);
  return why.empty() ? "" : why + "; try again then";
}

absl::Status Member::Elect(Instant now) {
  if (const std::string why = WhyNoElection(now); !why.empty()) {
    return absl::FailedPreconditionError(why);
  }
  if (const std::string why = WhyNotElectable(); !why.empty()) {
    return absl::FailedPreconditionError(why + "; `replica elect --accept-loss` takes it as it is");
  }
  vacancy_.Ask(now);
  Advance(now);
  return absl::OkStatus();
}

absl::Status Member::ElectUnclean(Instant now) {
  if (const std::string why = WhyNoElection(now); !why.empty()) {
    return absl::FailedPreconditionError(why);
  }
  if (!promise_.has_value()) Persist(highest_epoch_);
  Propose(std::max(highest_epoch_, log_.history.last()) + 1, UncleanWarning("an operator elects"));
  Advance(now);
  return absl::OkStatus();
}

// ---- the master ----

void Member::ObserveAsMaster(Instant now) {
  const Epoch mine = mastership_->epoch();
  const bool record_is = view_->record.has_value() && view_->record->epoch == mine;
  const bool lease_is = IsLeaseMine() && view_->lease->epoch == mine;
  // It ran out, and as long as all others hold back nobody else takes it.
  const bool lease_ran_out = !view_->lease.has_value() && pledges_.HeldAt(now);
  if (record_is && lease_ran_out) {
    LoseLease(now);
  } else if (!record_is || !lease_is || IsOutside()) {
    StepDown(
        fmt::format("{} does not hold the lease of epoch {} any more", options_.name, mine.value()),
        now);
    return;
  }
  mastership_->in_sync().Observe(view_->version, view_->record->in_sync);
  AdoptSlaves();
}

void Member::StepDown(const std::string& why, Instant now) {
  lease_.End();
  pledges_ = Pledges();
  mastership_.reset();
  proposed_.reset();
  switch_over_.reset();
  stand_not_before_ = std::max(stand_not_before_, now);
  actions_.push_back(action::DropSlaves{absl::UnavailableError(why)});
}

void Member::SendRelease(const MemberName& preferred) {
  CHECK(view_.has_value());
  // Without a record the group is as it was when this member was elected: it has everything.
  GroupRecord record = view_->record.value_or(
      GroupRecord{.epoch = IsLeaseMine() ? view_->lease->epoch : highest_epoch_,
                  .master = options_.name,
                  .in_sync = {options_.name},
                  .preferred = "",
                  .unclean_epoch = Epoch(0),
                  .roster = options_.roster});
  record.preferred = preferred;
  releasing_ = true;
  actions_.push_back(action::Release{view_->version, std::move(record)});
}

void Member::OnReleased(const Coordinator::Result& result, Instant now) {
  releasing_ = false;
  release_at_ = now + (result.status.ok() ? Duration(0) : options_.retry_time);
  AdoptResult(result, now);
  Advance(now);
}

void Member::AdvanceMaster(Instant now) {
  AdvanceLease(now);
  AdvanceRecord(now);
  RequirePledges();
  AdvancePledges(now);
  AdvanceSwitchOver(now);
  if (mastership_ == nullptr) return;
  mastership_wake_ = mastership_->wake_at(now);
  // Everything in the log is confirmed from here on: the tables may be built from it.
  if (page_.role != Role::kMaster && mastership_->Confirm(log_).has_value()) {
    page_.role = Role::kMaster;
    page_.epoch = mastership_->epoch();
  }
}

void Member::AdvanceLease(Instant now) {
  if (keeping_alive_.has_value() || retaking_.has_value() || now < keep_alive_at_) return;
  if (!view_->lease.has_value()) return Retake();
  keeping_alive_ = mastership_->epoch();
  actions_.push_back(action::KeepAlive{});
}

void Member::OnKeptAlive(const Coordinator::Result& result, Instant now) {
  const std::optional<Epoch> epoch = std::exchange(keeping_alive_, std::nullopt);
  if (mastership_ != nullptr && epoch == mastership_->epoch()) {
    if (result.status.ok()) {
      lease_.Extend(result.sent, result.ttl);
      keep_alive_at_ = std::max(lease_.RenewAt(), now + options_.retry_time / 4);
    } else if (absl::IsAborted(result.status) && pledges_.HeldAt(now)) {
      LoseLease(now + options_.retry_time);
    } else if (absl::IsAborted(result.status)) {
      StepDown(
          fmt::format("the coordinator let the lease of epoch {} go", mastership_->epoch().value()),
          now);
    } else {
      keep_alive_at_ = now + options_.retry_time;
    }
  }
  AdoptResult(result, now);
  Advance(now);
}

void Member::OnUpdated(const Coordinator::Result& result, Instant now) {
  updating_ = false;
  // Not known or refused: once more, or by then the view says how it is.
  if (!result.status.ok()) update_at_ = now + options_.retry_time;
  AdoptResult(result, now);
  Advance(now);
}

void Member::AdvanceSwitchOver(Instant now) {
  if (!switch_over_.has_value()) return;
  // Without the coordinator there would be nobody to take over.
  if (now >= switch_over_->deadline || !lease_.HeldAt(now)) {
    switch_over_.reset();
    return;
  }
  const bool quiet = now >= std::min(end_moved_at_ + kDrainTime, switch_over_->quiet_until);
  const bool ready = quiet && mastership_->HasAll(switch_over_->target, log_) &&
                     confirm_ >= log_.end && !mastership_->in_sync().changing();
  if (!ready) return;
  const MemberName target = switch_over_->target;
  StepDown(fmt::format("{} hands over to {}", options_.name, target), now);
  SendRelease(target);
}

absl::Status Member::SwitchOver(const MemberName& target, Instant now) {
  if (mastership_ == nullptr || page_.role != Role::kMaster) {
    return absl::FailedPreconditionError(options_.name + " is not the master; ask the master");
  }
  if (target == options_.name) return absl::OkStatus();
  if (!lease_.HeldAt(now)) {
    return absl::FailedPreconditionError(
        "the coordinator does not answer: nobody could be elected; ask again when it does");
  }
  if (!options_.members.contains(target)) {
    return absl::FailedPreconditionError(target + " is not a member that may be master");
  }
  if (switch_over_.has_value()) {
    return absl::FailedPreconditionError("a switchover to " + switch_over_->target +
                                         " is under way");
  }
  const Mastership::Slave& slave = mastership_->slaves().at(target);
  if (slave.stream == 0) return absl::FailedPreconditionError(target + " is not connected");
  if (slave.ack.has_value() && slave.ack->leaving) {
    return absl::FailedPreconditionError(target + " is about to stop");
  }
  if (options_.mode != Mode::kQuorum && !mastership_->in_sync().written().contains(target)) {
    return absl::FailedPreconditionError(target + " is not in the in-sync set; wait until it is");
  }
  switch_over_ = SwitchOverState{target, now + kDrainPatience, now + options_.switchover_limit};
  end_moved_at_ = now;
  Advance(now);
  return absl::OkStatus();
}

absl::StatusOr<StreamStart> Member::OnHello(uint64_t stream, const Hello& hello, Instant now) {
  const MemberName& name = hello.member;
  if (name == options_.name ||
      (!options_.members.contains(name) && !options_.learners.contains(name))) {
    return absl::PermissionDeniedError(
        fmt::format("'{}' is not another member of this group: {}", name,
                    options_.roster.empty() ? "check replication.members"
                                            : "`dunlinctl replica add` takes one in"));
  }
  if (mastership_ == nullptr || !mastership_->begun()) {
    return absl::UnavailableError(options_.name + " is not the master");
  }
  if (hello.highest_epoch > mastership_->epoch()) {
    // It would refuse every frame: only a higher epoch can have it as slave.
    See(hello.highest_epoch);
    StepDown(fmt::format("{} has seen epoch {}", name, hello.highest_epoch.value()), now);
    SendRelease("");
    Advance(now);
    return absl::UnavailableError("a new epoch is needed; connect again");
  }
  const StreamStart start =
      mastership_->Connect(stream, hello, log_, view_->record->unclean_epoch, now);
  Advance(now);
  return start;
}

void Member::OnAck(uint64_t stream, const Ack& ack, Instant now) {
  if (mastership_ != nullptr) mastership_->OnAck(stream, ack, log_, now);
  Advance(now);
}

void Member::OnSlaveGone(uint64_t stream, Instant now) {
  if (mastership_ != nullptr) mastership_->OnGone(stream, now);
  Advance(now);
}

Accepting Member::WhetherAccepting(Instant now) const {
  if (page_.role != Role::kMaster || mastership_ == nullptr) return Accepting::kNotMaster;
  if (!HoldsAt(now)) return Accepting::kLeaseOver;
  if (switch_over_.has_value()) return Accepting::kSwitchover;
  return mastership_->EnoughMembers(now);
}

}  // namespace dunlin::replicator
