// Member: the state machine of one member of a broker group.
//
// Pure: no thread, no socket, no file, no clock. Everything that happens is a call with the time at
// which it happened; what is to be done comes out as actions and as the state of the control page.
// The rules it obeys are in docs/replication.md; each has a test beside this file.
//
// A driver calls from one thread: after each input it first writes page(), then carries out
// TakeActions() in order, then calls Tick at wake_at() or earlier. Inputs that wait are given
// before a Tick. Before a Member is made, the page shows no role and a lease that is over. A crash
// leaves what the log, its history and the persisted promise hold; that is what the next life
// starts from.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/roles/candidacy.h"
#include "services/replicator/roles/lease.h"
#include "services/replicator/roles/mastership.h"
#include "services/replicator/roles/pledges.h"
#include "services/replicator/roles/roster_change.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/roles/vacancy.h"

namespace dunlin::replicator {

// A switchover waits until the log has been quiet for so long,
inline constexpr Duration kDrainTime = std::chrono::milliseconds(20);
// but no longer than this: consumers go on, and write where they are.
inline constexpr Duration kDrainPatience = std::chrono::milliseconds(100);

class Member {
 public:
  // What a member knows when it starts.
  struct Durable {
    LogState log;
    std::optional<Epoch> promise;  // none: the store has never had all that was confirmed
    LogOffset confirmed;           // at least so much is confirmed (from the page); 0: not known
    bool of_group = false;         // the log is the group's: a copy of it, or what it began with
    Epoch seen;                    // a former life of the store took nothing of a lower one
    Instant started{};             // now: what a former life has pledged is over some time after
  };
  Member(MemberOptions options, Durable durable);
  ~Member();

  // ---- the coordinator ----
  void OnView(const GroupView& view, Instant now);
  void OnElected(const Coordinator::Result& result, Instant now);
  void OnUpdated(const Coordinator::Result& result, Instant now);
  void OnKeptAlive(const Coordinator::Result& result, Instant now);
  void OnRetaken(const Coordinator::Result& result, Instant now);
  void OnReleased(const Coordinator::Result& result, Instant now);

  // ---- the own log ----
  // It grew, was flushed, truncated, or lost its oldest part. As master: what the broker wrote.
  void OnLog(const LogState& log, Instant now);
  void OnEpochBegun(Epoch epoch, const LogState& log, Instant now);
  // It cannot be written any more: gives the lease up and stands for nothing until the next life.
  void OnLogFailed(const absl::Status& why, Instant now);

  // ---- as master: streams of slaves; `stream` numbers are the driver's, never used twice ----
  // PERMISSION_DENIED: not a member. UNAVAILABLE: not the master (any more).
  absl::StatusOr<StreamStart> OnHello(uint64_t stream, const Hello& hello, Instant now);
  void OnAck(uint64_t stream, const Ack& ack, Instant now);
  void OnSlaveGone(uint64_t stream, Instant now);

  // ---- as slave ----
  Hello hello() const;
  void OnStreamStart(uint64_t stream, const StreamStart& start, Instant now);
  void OnMirrorReady(uint64_t stream, Instant now);
  // To be asked before anything of a frame is written: FAILED_PRECONDITION when it must not be.
  // `confirm`, `master_start`: as the frame says.
  absl::Status OnFrame(uint64_t stream, LogOffset confirm, LogOffset master_start, Instant now);
  void OnStreamBroken(uint64_t stream, Instant now);
  // What to acknowledge now: none before the mirror is ready.
  std::optional<Ack> ack(uint64_t stream) const;
  // This process is about to stop: the master need not wait for it, nor anybody elect it.
  void Leave() { leaving_ = true; }
  // SYNC: the master still waits for it, and could do without it.
  bool IsWaitedFor() const;

  // ---- peers ----
  PeerState peer_state() const { return {position(), highest_epoch_}; }
  void OnPeerState(const MemberName& peer, const PeerState& state, Instant now);
  void OnPromiseAsked(uint64_t ticket, const MemberName& candidate, Epoch epoch, Instant now);
  void OnPromisePersisted(Epoch epoch, Instant now);
  void OnPromiseAnswer(const MemberName& peer, const PromiseAnswer& answer, Instant now);
  PledgeAnswer OnPledgeAsked(const PledgeRequest& request, Instant now);
  // `epoch`: that was asked for; `sent`: before it was.
  void OnPledgeAnswer(const MemberName& peer, Epoch epoch, const PledgeAnswer& answer, Instant sent,
                      Instant now);

  // ---- the operator ----
  // The master hands over to `target`. FAILED_PRECONDITION with the reason when it cannot. Watch
  // the view for the outcome; after MemberOptions::switchover_limit the old master goes on.
  absl::Status SwitchOver(const MemberName& target, Instant now);
  // This member becomes master though it may lack what was acknowledged. FAILED_PRECONDITION while
  // another holds the lease, or goes on as master by the pledge of this one.
  absl::Status ElectUnclean(Instant now);
  // This member stands for election now, by the rules of every election; it need not wait for the
  // former master, nor for MemberOptions::manual_election. OK: it does, for kAskedTime.
  // FAILED_PRECONDITION with the reason when it may not be elected.
  absl::Status Elect(Instant now);
  // The master changes the group's members. OK: it is under way, and options().roster shows when it
  // is written; or there is nothing to change. FAILED_PRECONDITION, NOT_FOUND: with the reason.
  // UNAVAILABLE: not at this moment.
  absl::Status ChangeRoster(const RosterChange& change, Instant now);

  void Tick(Instant now);
  Instant wake_at() const;

  const PageState& page() const { return page_; }
  std::vector<Action> TakeActions() { return std::exchange(actions_, {}); }

  // ---- for GetMember and metrics ----
  // `roster`, `members` and `learners` as the record has them.
  const MemberOptions& options() const { return options_; }
  // Not a member, by the record: takes no part.
  bool IsOutside() const;
  const LogState& log() const { return log_; }
  Epoch highest_epoch() const { return highest_epoch_; }
  LogOffset confirm() const { return confirm_; }
  const std::optional<GroupView>& view() const { return view_; }
  // Set while this member is master of an epoch, confirmed or not.
  const Mastership* mastership() const { return mastership_.get(); }
  // Of a master: its lease is over, for the coordinator did not renew it;
  bool LeaseIsOver() const;
  // all others have pledged not to be elected, so that it goes on all the same.
  bool GoesOnByPledges() const;
  const Pledges& pledges() const { return pledges_; }
  // Of a master: until when it may acknowledge, by its lease or by pledges; kNever: nobody ends it.
  Instant HeldUntil() const;
  // One line for an operator: what the member is and, if it does nothing, what it waits for.
  std::string Describe() const;

 private:
  // A promise that was asked for and is not durable yet.
  struct Asked {
    uint64_t ticket;
    MemberName candidate;
    Epoch epoch;
  };
  struct SwitchOverState {
    MemberName target;
    Instant quiet_until;  // then the log need not be quiet any more
    Instant deadline;
  };

  // Brings everything up to date after an input; each part looks at one duty.
  void Advance(Instant now);
  void AdvanceMaster(Instant now);
  void AdvanceLease(Instant now);
  void AdvanceRecord(Instant now);
  void RequirePledges();
  void AdvancePledges(Instant now);
  void AdvanceSwitchOver(Instant now);
  void AdvanceCandidate(Instant now);
  void AdvanceConfirm();
  void AdvancePage(Instant now);
  Accepting WhetherAccepting(Instant now) const;

  void Adopt(const GroupView& view, Instant now);
  void AdoptResult(const Coordinator::Result& result, Instant now);
  void ObserveAsMaster(Instant now);
  void AdoptRoster(const GroupView& view);
  void AdoptSlaves();
  std::string WhyOutside() const;
  absl::Status WhyNoChange(const RosterChange& change, Instant now) const;
  absl::Status WhyNotRemove(const RosterChange& change, Instant now) const;
  void ProposeRoster(Roster next);
  void ProposeRecord(std::set<MemberName> in_sync, GroupRecord record);
  void PromoteJoining(Instant now);
  void StandForElection(Instant now);
  void Propose(Epoch epoch, std::string warning);
  void Persist(Epoch epoch);
  void StepDown(const std::string& why, Instant now);
  void SendRelease(const MemberName& preferred);
  std::string WhyNoPromise(const MemberName& candidate, Epoch epoch, Instant now) const;
  bool HoldsAt(Instant now) const { return now < HeldUntil(); }
  Instant PledgesDue() const;
  void LoseLease(Instant retake_at);
  void Retake();
  Instant AbstainsUntil() const;
  std::string WhyAbstains(Instant now) const;
  std::string WhyNoPledge(const PledgeRequest& request) const;
  void DropOldStream();
  bool MayDiscardConfirmed(const StreamStart& start) const;
  void Match(uint64_t stream, const StreamStart& start);
  void Repair();
  bool IsLeaseMine() const;
  bool HasNothing() const { return log_.end == log_.start; }
  // How much of the group's log this member has.
  LogPosition position() const;
  std::string WhyNotElectable() const;
  std::string WhyNoElection(Instant now) const;
  bool MayStandUnclean(Instant now) const;
  std::string UncleanWarning(std::string_view who) const;
  std::string WhyWaits() const;
  std::string WhyDamaged() const;
  void See(Epoch epoch) { highest_epoch_ = std::max(highest_epoch_, epoch); }

  MemberOptions options_;
  LogState log_;
  bool of_group_;                 // durable
  std::optional<Epoch> promise_;  // durable
  Epoch highest_epoch_;           // of the group's, seen or promised anywhere
  LogOffset confirm_;
  std::optional<GroupView> view_;
  PageState page_;
  std::vector<Action> actions_;
  Instant advanced_at_{};
  std::string failure_;  // of the log; nothing is done any more

  // Candidate.
  Vacancy vacancy_;
  std::unique_ptr<Candidacy> candidacy_;
  Instant stand_not_before_{};
  std::optional<Epoch> electing_;  // Elect is under way
  int64_t attempt_version_ = -1;   // the last epoch that this member promised itself, and for which
  Epoch attempt_epoch_;            // version of the record

  // Master.
  std::unique_ptr<Mastership> mastership_;
  LeaseClock lease_;
  std::optional<Epoch> keeping_alive_;  // KeepAlive of this epoch is under way
  Instant keep_alive_at_ = kNever;
  std::optional<Epoch> retaking_;  // Retake of this epoch is under way
  Pledges pledges_;
  Instant pledges_asked_at_{};
  std::optional<GroupRecord> proposed_;  // while the in-sync set is changing
  bool updating_ = false;                // Update is under way
  Instant update_at_{};
  std::optional<SwitchOverState> switch_over_;
  Instant end_moved_at_{};
  Instant mastership_wake_ = kNever;
  bool releasing_ = false;  // Release is under way
  Instant release_at_{};

  // Slave.
  MemberName following_;
  uint64_t stream_ = 0;
  Epoch stream_epoch_;
  bool mirror_ready_ = false;
  std::optional<LogOffset> stream_confirm_;  // as the newest frame said
  LogOffset master_start_;
  bool leaving_ = false;

  Abstention abstention_;

  // Voter.
  std::optional<Epoch> persisting_;
  std::vector<Asked> asked_;
};

}  // namespace dunlin::replicator
