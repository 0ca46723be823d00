#include "services/replicator/roles/candidacy.h"

#include <fmt/format.h>

#include <algorithm>

namespace dunlin::replicator {
namespace {

constexpr int kRankMax = 3;

std::set<MemberName> Electable(const MemberOptions& options, const GroupView& view,
                               Candidacy::Kind kind) {
  const bool all = kind == Candidacy::Kind::kUnclean || options.mode == Mode::kQuorum;
  if (all || !view.record.has_value()) return options.members;
  return view.record->in_sync;
}

}  // namespace

std::string WhyNotElectable(const MemberOptions& options, const GroupView& view, bool established) {
  if (!options.members.contains(options.name)) return "it is a learner";
  if (view.lease.has_value()) {
    return fmt::format("{} holds the lease of epoch {}", view.lease->name,
                       view.lease->epoch.value());
  }
  if (!view.record.has_value()) return "";
  if (!established) {
    return "its store is new to the group, which had a master before; it has to catch up first";
  }
  if (options.mode != Mode::kQuorum && !view.record->in_sync.contains(options.name)) {
    return "it is not in the in-sync set and may lack what was acknowledged";
  }
  return "";
}

Candidacy::Candidacy(const MemberOptions& options, LogPosition own, const GroupView& view,
                     Epoch highest_epoch, Instant now, Kind kind)
    : options_(options),
      kind_(kind),
      own_(own),
      version_(view.version),
      preferred_(view.record.has_value() ? view.record->preferred : ""),
      electable_(Electable(options, view, kind)),
      began_(now),
      highest_epoch_(highest_epoch) {
  ComputeStandAt();
}

int Candidacy::Rank() const {
  int rank = 0;
  for (const auto& [name, position] : peers_) {
    if (!electable_.contains(name)) continue;
    if (position > own_ || (position == own_ && name < options_.name)) ++rank;
  }
  return std::min(rank, kRankMax);
}

// The time to collect, unless all who may be elected have answered; then a step for each that is
// better. Who is preferred does not wait; the others leave it some time.
void Candidacy::ComputeStandAt() {
  if (kind_ == Kind::kUnclean) {
    // Those with more are to be there first, also when they learned a moment later that it may be.
    stand_at_ = began_ + options_.collect_time + Rank() * options_.preferred_time;
    return;
  }
  if (preferred_ == options_.name) {
    stand_at_ = began_;
    return;
  }
  const bool all = std::all_of(electable_.begin(), electable_.end(), [this](const auto& name) {
    return name == options_.name || peers_.contains(name);
  });
  stand_at_ = began_ + (all ? Duration(0) : options_.collect_time) + Rank() * options_.rank_step;
  if (!preferred_.empty()) stand_at_ = std::max(stand_at_, began_ + options_.preferred_time);
}

void Candidacy::OnPeerState(const MemberName& peer, const PeerState& state) {
  if (phase_ != Phase::kRank || !options_.members.contains(peer)) return;
  peers_[peer] = state.position;
  highest_epoch_ = std::max({highest_epoch_, state.highest_epoch, state.position.epoch});
  ComputeStandAt();
}

void Candidacy::OnPromiseAnswer(const MemberName& peer, const PromiseAnswer& answer) {
  if (phase_ != Phase::kPromises || !options_.members.contains(peer)) return;
  if (!answer.granted) {
    highest_epoch_ = std::max(highest_epoch_, answer.epoch);
    if (answer.epoch > epoch_) outdone_ = true;
    return;
  }
  if (answer.epoch != epoch_) return;  // of an earlier attempt
  if (answer.position > own_) {
    outdone_ = true;
    return;
  }
  granted_.insert(peer);
}

Candidacy::Step Candidacy::Next(Instant now) {
  if (phase_ == Phase::kRank) {
    if (now < stand_at_) return Step::kWait;
    epoch_ = highest_epoch_ + 1;
    highest_epoch_ = epoch_;
    if (options_.mode != Mode::kQuorum || kind_ == Kind::kUnclean) return Step::kElect;
    phase_ = Phase::kPromises;
    give_up_at_ = now + 5 * options_.retry_time;
    return Step::kPromise;
  }
  if (outdone_ || now >= give_up_at_) return Step::kGiveUp;
  // Its own promise counts like any other, and is needed: a master that has not promised its epoch
  // could promise it to another after a restart.
  const bool majority = granted_.size() * 2 > options_.members.size();
  return majority && granted_.contains(options_.name) ? Step::kElect : Step::kWait;
}

}  // namespace dunlin::replicator
