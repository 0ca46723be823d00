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
  if (now < stand_not_before_) return;
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
      Propose(candidacy_->epoch(), "");
      return;
  }
}

void Member::StandForElection(Instant now) {
  if (!WhyNotElectable(options_, *view_, promise_.has_value()).empty()) return;
  // An attempt that is made again asks for the same epoch: a member that cannot win does not drive
  // the epochs of the others up.
  Epoch seen = highest_epoch_;
  if (attempt_version_ == view_->version && attempt_epoch_ == seen && seen > Epoch(0)) {
    seen = seen - 1;
  }
  candidacy_ = std::make_unique<Candidacy>(options_, log_.position(), *view_, seen, now);
  actions_.push_back(action::AskPeers{});
}

void Member::Propose(Epoch epoch, std::string warning) {
  GroupRecord record = view_->record.value_or(GroupRecord{});
  record.epoch = epoch;
  record.master = options_.name;
  record.preferred.clear();
  if (!warning.empty()) {
    record.unclean_epoch = epoch;
    record.in_sync = {options_.name};
  } else if (options_.mode == Mode::kQuorum) {
    record.in_sync = options_.members;
  } else if (record.in_sync.empty()) {
    record.in_sync = {options_.name};
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
  CHECK(epoch.has_value() && result.view.has_value() && result.view->record.has_value());
  AdoptResult(result, now);
  const bool overtaken = !IsLeaseMine() || view_->lease->epoch != *epoch || highest_epoch_ > *epoch;
  if (overtaken || !failure_.empty()) {
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
  mastership_ =
      std::make_unique<Mastership>(options_, *epoch, view_->version, view_->record->in_sync, now);
  actions_.push_back(action::BeginEpoch{*epoch});
  Advance(now);
}

void Member::OnEpochBegun(Epoch epoch, const LogState& log, Instant now) {
  log_ = log;
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

absl::Status Member::ElectUnclean(Instant now) {
  if (!view_.has_value()) {
    return absl::FailedPreconditionError("the coordinator has not answered yet; try again");
  }
  if (!failure_.empty()) return absl::FailedPreconditionError("the log failed: " + failure_);
  if (!options_.members.contains(options_.name)) {
    return absl::FailedPreconditionError(options_.name + " is a learner");
  }
  if (view_->lease.has_value()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} holds the lease of epoch {}; an unclean election is for a group without a master",
        view_->lease->name, view_->lease->epoch.value()));
  }
  if (electing_.has_value()) return absl::FailedPreconditionError("an election is under way");
  if (!promise_.has_value()) Persist(highest_epoch_);
  Propose(highest_epoch_ + 1,
          fmt::format("an operator elects {} as it is: log {} up to {}, at least {} confirmed; "
                      "confirmed records that only other members have are lost",
                      options_.name, log_.history.ToString(), log_.end.value(), confirm_.value()));
  Advance(now);
  return absl::OkStatus();
}

// ---- the master ----

void Member::ObserveAsMaster(Instant now) {
  const Epoch mine = mastership_->epoch();
  if (!IsLeaseMine() || view_->lease->epoch != mine || !view_->record.has_value() ||
      view_->record->epoch != mine) {
    StepDown(
        fmt::format("{} does not hold the lease of epoch {} any more", options_.name, mine.value()),
        now);
    return;
  }
  mastership_->in_sync().Observe(view_->version, view_->record->in_sync);
}

void Member::StepDown(const std::string& why, Instant now) {
  lease_.End();
  mastership_.reset();
  switch_over_.reset();
  stand_not_before_ = std::max(stand_not_before_, now);
  actions_.push_back(action::DropSlaves{absl::UnavailableError(why)});
}

void Member::SendRelease(const MemberName& preferred) {
  CHECK(view_.has_value());
  GroupRecord record = view_->record.value_or(GroupRecord{});
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
  AdvanceInSyncSet(now);
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
  if (keeping_alive_.has_value() || now < keep_alive_at_) return;
  keeping_alive_ = mastership_->epoch();
  actions_.push_back(action::KeepAlive{});
}

void Member::OnKeptAlive(const Coordinator::Result& result, Instant now) {
  const std::optional<Epoch> epoch = std::exchange(keeping_alive_, std::nullopt);
  if (mastership_ != nullptr && epoch == mastership_->epoch()) {
    if (result.status.ok()) {
      lease_.Extend(result.sent, result.ttl);
      keep_alive_at_ = std::max(lease_.RenewAt(), now + options_.retry_time / 4);
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

// The union counts from the moment a change is proposed, before it leaves: AdvanceConfirm ran with
// the old set, and what it confirmed the joining member has.
void Member::AdvanceInSyncSet(Instant now) {
  InSyncSet& set = mastership_->in_sync();
  if (updating_ || now < update_at_ || !lease_.HeldAt(now)) return;
  if (!set.changing()) {
    std::optional<std::set<MemberName>> wanted = mastership_->WantedSet(confirm_, now);
    if (!wanted.has_value()) return;
    set.Propose(*std::move(wanted));
  }
  GroupRecord record = *view_->record;
  record.in_sync = set.proposed();
  updating_ = true;
  actions_.push_back(action::Update{set.version(), std::move(record)});
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
  if (now >= switch_over_->deadline) {
    switch_over_.reset();
    return;
  }
  const bool quiet = now >= end_moved_at_ + kDrainTime;
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
  if (!options_.members.contains(target)) {
    return absl::FailedPreconditionError(target + " is not a member that may be master");
  }
  if (switch_over_.has_value()) {
    return absl::FailedPreconditionError("a switchover to " + switch_over_->target +
                                         " is under way");
  }
  if (mastership_->slaves().at(target).stream == 0) {
    return absl::FailedPreconditionError(target + " is not connected");
  }
  if (options_.mode != Mode::kQuorum && !mastership_->in_sync().written().contains(target)) {
    return absl::FailedPreconditionError(target + " is not in the in-sync set; wait until it is");
  }
  switch_over_ = SwitchOverState{target, now + options_.switchover_limit};
  end_moved_at_ = now;
  Advance(now);
  return absl::OkStatus();
}

absl::StatusOr<StreamStart> Member::OnHello(uint64_t stream, const Hello& hello, Instant now) {
  const MemberName& name = hello.member;
  if (name == options_.name ||
      (!options_.members.contains(name) && !options_.learners.contains(name))) {
    return absl::PermissionDeniedError(
        fmt::format("'{}' is not another member of this group; check replication.members", name));
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
  if (!lease_.HeldAt(now)) return Accepting::kLeaseOver;
  if (switch_over_.has_value()) return Accepting::kSwitchover;
  return mastership_->EnoughMembers(now);
}

}  // namespace dunlin::replicator
