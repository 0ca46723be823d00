// The life of a member that every role shares: views, promises, the page. What it does as slave is
// in member_slave.cc, what it does to become and to be master in member_master.cc.
#include "services/replicator/roles/member.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dunlin::replicator {

Member::Member(MemberOptions options, Durable durable)
    : options_(std::move(options)),
      log_(std::move(durable.log)),
      of_group_(durable.of_group),
      promise_(durable.promise),
      highest_epoch_(std::max(
          {of_group_ ? log_.history.last() : Epoch(0), promise_.value_or(Epoch(0)), durable.seen})),
      confirm_(std::min(durable.confirmed, log_.end)),
      abstention_(durable.started) {
  page_.role = Role::kSlave;  // reading what is confirmed needs nobody's leave
  page_.epoch = log_.history.last();
  page_.replicated = options_.mode == Mode::kAsync ? LogOffset(UINT64_MAX) : confirm_;
}

Member::~Member() = default;

// The epochs of a log that is not the group's say nothing to it. One with records counts all the
// same until the group has a master: whoever has most is to be the first.
LogPosition Member::position() const {
  return !of_group_ && HasNothing() ? LogPosition{} : log_.position();
}

std::string Member::WhyNotElectable() const {
  if (IsOutside()) return WhyOutside();
  if (leaving_) return "it is about to stop";
  const bool won_before_it_could_begin = view_->record.has_value() &&
                                         view_->record->master == options_.name &&
                                         view_->record->epoch > log_.history.last();
  if (view_->record.has_value() && !of_group_ && !HasNothing() && !won_before_it_could_begin) {
    return "its store holds a log that is not the group's";
  }
  if (view_->record.has_value() && log_.damaged.has_value()) {
    return WhyDamaged();
  }
  return replicator::WhyNotElectable(options_, *view_, promise_.has_value());
}

std::string Member::WhyDamaged() const {
  return fmt::format(
      "its log is damaged at {}; what stood there has to be fetched from a master first, or an "
      "operator accepts the loss",
      log_.damaged->value());
}

// ---- the coordinator's word ----

bool Member::IsLeaseMine() const {
  return view_.has_value() && view_->lease.has_value() && view_->lease->name == options_.name;
}

void Member::OnView(const GroupView& view, Instant now) {
  Adopt(view, now);
  Advance(now);
}

void Member::AdoptResult(const Coordinator::Result& result, Instant now) {
  if (result.view.has_value()) Adopt(*result.view, now);
}

void Member::Adopt(const GroupView& view, Instant now) {
  if (view_.has_value() && view.revision < view_->revision) return;  // overtaken
  const bool same_version = view_.has_value() && view_->version == view.version;
  view_ = view;
  vacancy_.Observe(view, now);
  AdoptRoster(view);
  if (view.record.has_value()) See(view.record->epoch);
  // A store that is there before the group's first master has missed nothing.
  if (!view.record.has_value() && !promise_.has_value()) Persist(Epoch(0));
  // An attempt stands on one version of the record, and on a lease that is free.
  if (!same_version || view.lease.has_value()) candidacy_.reset();
  if (mastership_ != nullptr) ObserveAsMaster(now);
  if (mastership_ != nullptr || !view.lease.has_value() || !failure_.empty()) return;
  if (IsOutside()) return;
  if (view.lease->name == options_.name || view.lease->name == following_) return;
  following_ = view.lease->name;
  stream_ = 0;
  mirror_ready_ = false;
  actions_.push_back(action::Follow{following_});
}

void Member::Advance(Instant now) {
  advanced_at_ = now;
  if (failure_.empty()) {
    AdvanceConfirm();
    if (mastership_ != nullptr) {
      AdvanceMaster(now);
    } else {
      AdvanceCandidate(now);
    }
  }
  AdvancePage(now);
}

void Member::AdvancePage(Instant now) {
  if (mastership_ == nullptr) {
    page_.role = view_.has_value() && IsOutside() ? Role::kNone : Role::kSlave;
    page_.epoch = std::max(
        {page_.epoch, stream_epoch_,
         view_.has_value() && view_->record.has_value() ? view_->record->epoch : Epoch(0)});
  }
  page_.replicated = options_.mode == Mode::kAsync ? LogOffset(UINT64_MAX) : confirm_;
  page_.lease_until = HeldUntil();
  page_.accepting = WhetherAccepting(now);
  page_.master_start = mastership_ != nullptr ? log_.start : master_start_;
}

Instant Member::wake_at() const {
  Instant wake = kNever;
  // What lies in the past has been looked at, and waits for an answer.
  const auto at = [&](Instant moment) {
    if (moment > advanced_at_) wake = std::min(wake, moment);
  };
  if (!failure_.empty()) return wake;
  if (mastership_ == nullptr) {
    at(stand_not_before_);
    at(release_at_);
    at(AbstainsUntil());
    if (candidacy_ != nullptr) {
      at(candidacy_->wake_at());
    } else if (view_.has_value()) {
      at(vacancy_.StandsAt(options_, *view_, advanced_at_));
    }
    at(vacancy_.UncleanAt(options_));
    return wake;
  }
  at(keep_alive_at_);
  at(lease_.until());
  at(pledges_.until());
  at(PledgesDue());
  at(update_at_);
  at(mastership_wake_);
  if (switch_over_.has_value()) {
    at(switch_over_->deadline);
    at(end_moved_at_ + kDrainTime);
    at(switch_over_->quiet_until);
  }
  return wake;
}

void Member::Tick(Instant now) { Advance(now); }

// ---- the own log ----

void Member::OnLog(const LogState& log, Instant now) {
  if (log.end != log_.end) end_moved_at_ = now;
  log_ = log;
  if (of_group_) See(log_.history.last());
  Advance(now);
}

void Member::OnLogFailed(const absl::Status& why, Instant now) {
  failure_ = std::string(why.message());
  candidacy_.reset();
  if (mastership_ != nullptr) {
    StepDown(fmt::format("the log of {} failed: {}", options_.name, failure_), now);
    SendRelease("");
  }
  if (!following_.empty()) actions_.push_back(action::StopFollowing{});
  following_.clear();
  stream_ = 0;
  mirror_ready_ = false;
  Advance(now);
}

// ---- promises ----

void Member::Persist(Epoch epoch) {
  if (persisting_.has_value() && *persisting_ >= epoch) return;
  persisting_ = epoch;
  actions_.push_back(action::PersistPromise{epoch});
}

// A master that is still sure of its lease knows better than the candidate; one whose proposal is
// under way may be master in a moment. To refuse is always safe.
std::string Member::WhyNoPromise(const MemberName& candidate, Epoch epoch, Instant now) const {
  if (options_.mode != Mode::kQuorum) return "promises belong to mode QUORUM";
  if (!options_.members.contains(candidate)) return candidate + " is not a member of the group";
  if (IsOutside()) return WhyOutside();
  if (!options_.members.contains(options_.name)) return options_.name + " is a learner";
  if (!failure_.empty()) return "its log failed: " + failure_;
  if (!promise_.has_value()) return "its store is new to the group and has to catch up first";
  if (log_.damaged.has_value()) return WhyDamaged();
  if (mastership_ != nullptr && HoldsAt(now)) return "it is the master and holds the lease";
  if (electing_.has_value()) return "it is being elected itself";
  if (epoch < highest_epoch_ || epoch <= log_.history.last() ||
      (view_.has_value() && view_->record.has_value() && epoch <= view_->record->epoch)) {
    return fmt::format("it has seen epoch {}", highest_epoch_.value());
  }
  return "";
}

void Member::OnPromiseAsked(uint64_t ticket, const MemberName& candidate, Epoch epoch,
                            Instant now) {
  const std::string why_not = WhyNoPromise(candidate, epoch, now);
  if (!why_not.empty()) {
    actions_.push_back(action::AnswerPromise{
        ticket,
        {.granted = false, .epoch = highest_epoch_, .position = position(), .reason = why_not}});
    Advance(now);
    return;
  }
  See(epoch);
  // Who has promised a higher epoch is nothing in a lower one, and takes nothing of it: the
  // position of the answer stays what it is.
  if (mastership_ != nullptr)
    StepDown(fmt::format("{} asks for epoch {}", candidate, epoch.value()), now);
  if (candidacy_ != nullptr && candidacy_->epoch() != epoch) {
    candidacy_.reset();
    stand_not_before_ = now + options_.retry_time;
  }
  DropOldStream();
  asked_.push_back({ticket, candidate, epoch});
  if (*promise_ >= epoch) {
    OnPromisePersisted(*promise_, now);
    return;
  }
  Persist(epoch);
  Advance(now);
}

void Member::DropOldStream() {
  if (stream_ == 0 || stream_epoch_ >= highest_epoch_) return;
  actions_.push_back(action::DropStream{
      stream_, absl::FailedPreconditionError(
                   fmt::format("{} is master of epoch {}, and {} has seen epoch {}", following_,
                               stream_epoch_.value(), options_.name, highest_epoch_.value()))});
  stream_ = 0;
  mirror_ready_ = false;
}

void Member::OnPromisePersisted(Epoch epoch, Instant now) {
  promise_ = std::max(promise_.value_or(Epoch(0)), epoch);
  if (persisting_.has_value() && *persisting_ <= epoch) persisting_.reset();
  if (candidacy_ != nullptr && candidacy_->epoch() != Epoch(0) &&
      *promise_ >= candidacy_->epoch()) {
    candidacy_->OnOwnPromise();
  }
  for (const Asked& asked : std::exchange(asked_, {})) {
    if (asked.epoch > *promise_) {
      asked_.push_back(asked);
      continue;
    }
    // A higher epoch came meanwhile: that one is kept instead.
    const bool granted = asked.epoch == highest_epoch_;
    actions_.push_back(
        action::AnswerPromise{asked.ticket,
                              {.granted = granted,
                               .epoch = highest_epoch_,
                               .position = position(),
                               .reason = granted ? "" : "a higher epoch was promised meanwhile"}});
  }
  Advance(now);
}

std::string Member::Describe() const {
  if (!failure_.empty()) return fmt::format("failed: {}", failure_);
  if (mastership_ != nullptr) {
    return fmt::format("{} of epoch {}, confirmed up to {} of {}{}",
                       page_.role == Role::kMaster ? "master" : "becoming master",
                       mastership_->epoch().value(), confirm_.value(), log_.end.value(),
                       GoesOnByPledges()
                           ? "; the coordinator is away, it goes on by the pledges of all others"
                           : "");
  }
  if (!view_.has_value()) return "waits for the coordinator";
  if (IsOutside()) return WhyOutside();
  const std::string why_not = WhyNotElectable();
  if (view_->lease.has_value()) {
    return fmt::format("slave of {}, {}", view_->lease->name,
                       mirror_ready_ ? "in step" : "not connected");
  }
  if (!why_not.empty()) return fmt::format("no master; cannot be elected: {}", why_not);
  if (std::string why = WhyAbstains(advanced_at_); !why.empty()) return why;
  if (std::string why = WhyWaits(); !why.empty()) return why;
  return "no master; stands for election";
}

}  // namespace dunlin::replicator
