// Mastership: what the master of one epoch knows: its slaves, the in-sync set, what is confirmed.
//
// Begins with the election and ends with the epoch. The time that a slave is given counts from
// then, also for one that never connected.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"

#include "services/replicator/roles/confirm_rule.h"
#include "services/replicator/roles/in_sync_set.h"
#include "services/replicator/roles/types.h"

namespace dunlin::replicator {

class Mastership {
 public:
  struct Slave {
    uint64_t stream = 0;     // 0: not connected
    Instant broken_since;    // when stream is 0
    std::optional<Ack> ack;  // the newest on this stream
    Instant caught_up_at;    // when it last had everything that the master had
    LogOffset end_at_ack;    // end of the master's log when the newest ack came
    Instant ack_at;
  };

  Mastership(const MemberOptions& options, Epoch epoch, int64_t version,
             const std::set<MemberName>& in_sync, Instant now);

  Epoch epoch() const { return epoch_; }
  // The epoch is in the log; none of what follows before.
  bool begun() const { return begun_; }
  LogOffset start() const { return start_; }
  void Begin(LogOffset start);

  InSyncSet& in_sync() { return in_sync_; }
  const InSyncSet& in_sync() const { return in_sync_; }
  const std::map<MemberName, Slave>& slaves() const { return slaves_; }

  // A new stream of a slave replaces its former one; its acknowledgements start anew.
  // REQUIRES: begun().
  StreamStart Connect(uint64_t stream, const Hello& hello, const LogState& own, Epoch unclean_epoch,
                      Instant now);
  void OnAck(uint64_t stream, const Ack& ack, const LogState& own, Instant now);
  void OnGone(uint64_t stream, Instant now);

  // The members are others by now. Returns the streams of those that are none any more.
  std::map<MemberName, uint64_t> OnRoster();
  // QUORUM: until the change that is under way is decided `next` count as well as the members do.
  // Together with in_sync().Propose.
  void ProposeVoters(std::set<MemberName> next) { next_voters_ = std::move(next); }
  // FAILED_PRECONDITION says who is missing when no majority of `voters` has what is confirmed.
  absl::Status WhyNotVoters(const std::set<MemberName>& voters, const LogState& own,
                            LogOffset confirm) const;
  // It has what this log had not long ago.
  bool IsCaughtUp(const MemberName& slave, Instant now) const;

  // None: nothing new is confirmed (not even the start of the epoch, or, in SYNC, beyond it with
  // fewer than min_in_sync).
  std::optional<LogOffset> Confirm(const LogState& own) const;
  // The set as it should be; none when it is so, or while a change is under way.
  std::optional<std::set<MemberName>> WantedSet(LogOffset confirm, Instant now) const;
  // Whether a slave has everything that this log has.
  bool HasAll(const MemberName& slave, const LogState& own) const;
  // Enough members to go on: kYes, kTooFewInSync or kNoQuorum.
  Accepting EnoughMembers(Instant now) const;
  // When the passing of time alone may next change what the two above answer.
  Instant wake_at(Instant now) const;

 private:
  bool ShouldLeave(const MemberName& name, LogOffset confirm, Instant now) const;
  // SYNC: it is about to stop.
  bool IsLeaving(const MemberName& name) const;
  bool ShouldJoin(const MemberName& name, const Slave& slave, LogOffset confirm, Instant now) const;
  Acknowledged AcknowledgedOffsets(const LogState& own) const;
  bool Connected(const Slave& slave, Instant now) const;
  Duration LagLimit() const;
  LogOffset OffsetOf(const Ack& ack) const;
  Slave* ByStream(uint64_t stream);

  const MemberOptions& options_;
  const Epoch epoch_;
  InSyncSet in_sync_;
  std::optional<std::set<MemberName>> next_voters_;  // while in_sync_ is changing
  bool begun_ = false;
  LogOffset start_;
  std::map<MemberName, Slave> slaves_;
};

}  // namespace dunlin::replicator
