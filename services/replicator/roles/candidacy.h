// Candidacy: one attempt of a member to become master, from the moment the lease is gone.
//
// Collects the positions of its peers, waits longer the more of them have more, and in QUORUM
// collects promises. Waiting makes the best candidate likely; what makes an election safe is the
// in-sync set (SYNC, ASYNC) or the promises of a majority (QUORUM), and the compare-and-swap.
// An attempt is based on one version of the record and ends when there is a newer one.

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/roles/types.h"

namespace dunlin::replicator {

// Why this member may not be elected in `view`; empty: it may. `established`: its store has
// belonged to the group before, so that what it lacks is no more than it knows of.
std::string WhyNotElectable(const MemberOptions& options, const GroupView& view, bool established);

class Candidacy {
 public:
  enum class Step {
    kWait,     // until wake_at() or the next answer
    kPromise,  // QUORUM: persist a promise of epoch(), ask all others for theirs
    kElect,    // propose epoch()
    kGiveUp,   // somebody has more, or promised more, or a majority did not answer in time
  };

  // What is asked of a candidate.
  enum class Kind {
    kClean,    // that it has what was acknowledged
    kUnclean,  // nothing: whoever answers and has most of the log comes first
  };

  // `highest_epoch`: that this member has seen anywhere.
  Candidacy(const MemberOptions& options, LogPosition own, const GroupView& view,
            Epoch highest_epoch, Instant now, Kind kind = Kind::kClean);

  Kind kind() const { return kind_; }

  int64_t version() const { return version_; }
  // What would be proposed: above every epoch that was heard of. Fixed from kPromise on.
  Epoch epoch() const { return epoch_; }
  // The highest epoch that an answer spoke of.
  Epoch highest_epoch() const { return highest_epoch_; }

  void OnPeerState(const MemberName& peer, const PeerState& state);
  // This member's own promise is durable.
  void OnOwnPromise() { granted_.insert(options_.name); }
  void OnPromiseAnswer(const MemberName& peer, const PromiseAnswer& answer);

  // kPromise is returned once.
  Step Next(Instant now);
  Instant wake_at() const { return phase_ == Phase::kRank ? stand_at_ : give_up_at_; }

 private:
  enum class Phase { kRank, kPromises };

  // Candidates that have more than this member, or as much and come first by name.
  int Rank() const;
  void ComputeStandAt();

  const MemberOptions& options_;
  const Kind kind_;
  const LogPosition own_;
  const int64_t version_;
  const MemberName preferred_;
  const std::set<MemberName> electable_;
  const Instant began_;
  Phase phase_ = Phase::kRank;
  Epoch epoch_;
  Epoch highest_epoch_;
  std::map<MemberName, LogPosition> peers_;
  Instant stand_at_;
  Instant give_up_at_ = kNever;
  std::set<MemberName> granted_;
  bool outdone_ = false;  // a promise showed a log with more, or a higher epoch
};

}  // namespace dunlin::replicator
