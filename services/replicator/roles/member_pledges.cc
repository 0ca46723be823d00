// A member and its pledges (pledges.h): as a master without its coordinator, and as who holds back
// for one.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

// ---- as master ----

Instant Member::HeldUntil() const { return std::max(lease_.until(), pledges_.until()); }

bool Member::GoesOnByPledges() const {
  return mastership_ != nullptr && !lease_.HeldAt(advanced_at_) && pledges_.HeldAt(advanced_at_);
}

bool Member::LeaseIsOver() const { return mastership_ != nullptr && !lease_.HeldAt(advanced_at_); }

// While nobody knows which roster is written, the voters of both could be elected.
void Member::RequirePledges() {
  std::set<MemberName> electable = options_.members;
  if (proposed_.has_value()) electable.merge(proposed_->roster.Voters());
  electable.erase(options_.name);
  pledges_.Require(electable);
}

Instant Member::PledgesDue() const {
  if (lease_.until() == kNever || pledges_.empty()) return kNever;
  return std::max(lease_.until() - kPledgeLead, pledges_asked_at_ + kPledgeInterval);
}

void Member::AdvancePledges(Instant now) {
  if (now < PledgesDue()) return;
  pledges_asked_at_ = now;
  actions_.push_back(action::AskPledges{mastership_->epoch(), kPledgeTime});
}

void Member::OnPledgeAnswer(const MemberName& peer, Epoch epoch, const PledgeAnswer& answer,
                            Instant sent, Instant now) {
  if (mastership_ != nullptr && mastership_->epoch() == epoch) {
    pledges_.OnAnswer(peer, answer.granted, sent);
  }
  Advance(now);
}

// At the coordinator; what the peers have pledged stands.
void Member::LoseLease(Instant retake_at) {
  lease_.End();
  keep_alive_at_ = retake_at;
}

// Nobody was elected since: the record is the one that this master knows, and an election would
// have changed it. The coordinator compares it.
void Member::Retake() {
  retaking_ = mastership_->epoch();
  actions_.push_back(action::Retake{view_->version, *view_->record});
}

// One whose outcome is not known may succeed later: then the view shows a lease that nobody renews,
// and that is taken again when it is over.
void Member::OnRetaken(const Coordinator::Result& result, Instant now) {
  const std::optional<Epoch> epoch = std::exchange(retaking_, std::nullopt);
  AdoptResult(result, now);
  if (mastership_ != nullptr && epoch == mastership_->epoch()) {
    if (result.status.ok() && IsLeaseMine()) {
      lease_.Extend(result.sent, result.ttl);
      keep_alive_at_ = lease_.RenewAt();
    } else {
      keep_alive_at_ = now + options_.retry_time;
    }
  }
  Advance(now);
}

// ---- as who pledges ----

// A record that names who is preferred was written by a master that had let go: nobody goes on by
// what was pledged to it. Whoever was elected, and began its epoch, had pledged nothing then, and
// pledges nothing of a lower epoch since. And a group without a record never had a master.
Instant Member::AbstainsUntil() const {
  if (view_.has_value()) {
    const std::optional<GroupRecord>& record = view_->record;
    if (record.has_value() && !record->preferred.empty()) return Instant();
    const bool elected_last = record.has_value() && record->master == options_.name && of_group_ &&
                              record->epoch == log_.history.last();
    if (!record.has_value() || elected_last) return abstention_.pledged_until();
  }
  return std::max(abstention_.pledged_until(), abstention_.restarted_until());
}

std::string Member::WhyAbstains(Instant now) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(AbstainsUntil() - now).count();
  if (left <= 0) return "";
  if (now < abstention_.pledged_until()) {
    return fmt::format(
        "{} goes on as master of epoch {} without the coordinator, and {} has pledged not to be "
        "elected for another {} ms",
        abstention_.master(), abstention_.epoch().value(), options_.name, left);
  }
  return fmt::format(
      "{} was started a moment ago, and holds back for another {} ms: it may have pledged not to "
      "be elected before",
      options_.name, left);
}

std::string Member::WhyNoPledge(const PledgeRequest& request) const {
  if (request.master == options_.name || !options_.members.contains(request.master)) {
    return fmt::format("'{}' is not another member that may be master", request.master);
  }
  if (request.time > kPledgeTime) {
    return fmt::format("nobody pledges for longer than {} ms",
                       kPledgeTime / std::chrono::milliseconds(1));
  }
  if (mastership_ != nullptr) {
    return fmt::format("it is the master of epoch {}", mastership_->epoch().value());
  }
  if (electing_.has_value()) return "it is being elected itself";
  if (highest_epoch_ > request.epoch) {
    return fmt::format("it has seen epoch {}", highest_epoch_.value());
  }
  return "";
}

PledgeAnswer Member::OnPledgeAsked(const PledgeRequest& request, Instant now) {
  std::string why_not = WhyNoPledge(request);
  if (!why_not.empty()) return {.granted = false, .reason = std::move(why_not)};
  candidacy_.reset();
  abstention_.Pledge(request.master, request.epoch, now + request.time);
  Advance(now);
  return {.granted = true, .reason = ""};
}

}  // namespace dunlin::replicator
