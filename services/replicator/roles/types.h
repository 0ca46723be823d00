// What goes into and comes out of the state machine of a member (member.h). Plain values.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

#include "services/base/strong_int.h"
#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/coordinator/instant.h"
#include "services/replicator/coordinator/roster.h"
#include "services/replicator/roles/epoch_history.h"

namespace dunlin::replicator {

// When a record is confirmed: acknowledged to its sender, shown to consumers.
enum class Mode {
  kAsync,   // the master has it
  kSync,    // every member of the in-sync set has it
  kQuorum,  // a majority of the members has it
};

// When a member "has" a record.
enum class Flush {
  kAsync,  // written to the page cache
  kSync,   // flushed to the disk
};

struct MemberOptions {
  MemberName name;
  // What the group begins with; as soon as its record has a roster, that one (member.h).
  std::set<MemberName> members;   // all that count, this one too unless it is a learner
  std::set<MemberName> learners;  // follow, never count
  Roster roster{};                // the same with addresses; empty: the members never change
  Mode mode = Mode::kAsync;
  Flush flush = Flush::kAsync;
  size_t min_in_sync = 2;  // SYNC: with fewer nothing new is taken or confirmed
  Duration broken_limit = std::chrono::seconds(1);        // without a stream: out of the set
  Duration lag_limit = std::chrono::seconds(3);           // SYNC: not caught up for so long: out
  Duration async_lag_limit = std::chrono::seconds(1);     // the same in ASYNC
  Duration collect_time = std::chrono::milliseconds(50);  // candidates wait for peers' positions
  Duration rank_step = std::chrono::milliseconds(50);     // and so long for each better one, ≤ 3
  Duration preferred_time = std::chrono::seconds(1);      // and so long for whom a switchover chose
  Duration retry_time = std::chrono::milliseconds(200);   // after what had no outcome
  Duration switchover_limit = std::chrono::seconds(10);   // then the old master goes on
  // Elections (vacancy.h).
  Duration election_delay = Duration(0);  // others wait so long for the former master
  bool manual_election = false;           // others stand only when an operator says so
  // After so long without a master one may be elected that may lack what was acknowledged.
  std::optional<Duration> unclean_after{};
};

// The log of this member as its driver sees it.
struct LogState {
  LogOffset start;  // the oldest that is kept
  LogOffset end;
  LogOffset flushed;
  EpochHistory history;
  std::optional<LogOffset> damaged{};  // what had been on disk from there on cannot be read

  LogPosition position() const { return {history.last(), end}; }
};

// ---- between members (dunlin.replication.v1 carries them) ----

// The first word of a slave to its master.
struct Hello {
  MemberName member;
  EpochHistory history;
  LogOffset end;
  Epoch highest_epoch;  // that this member has seen or promised
};

// The master's answer: what the slave does before anything is shipped.
struct StreamStart {
  Epoch epoch;                                      // of the master
  std::optional<EpochHistory::CommonPoint> common;  // truncate to it; none: begin anew at `start`
  LogOffset start;                                  // the oldest that the master has
  Epoch unclean_epoch;                              // of the record
};

// What a slave has. Counts only for the epoch that the slave's log has begun (durably).
struct Ack {
  Epoch epoch;  // newest entry of the slave's history
  LogOffset received;
  LogOffset flushed;
  bool leaving = false;  // it stops soon, and need not be waited for
};

// Answer to GetMember.
struct PeerState {
  LogPosition position;
  Epoch highest_epoch;
};

struct PromiseAnswer {
  bool granted = false;
  Epoch epoch;           // the one asked for; not granted: the highest that the member has seen
  LogPosition position;  // frozen by the promise until a master of such an epoch comes
  std::string reason;    // why not
};

// A master without its coordinator asks a member not to be elected for `time`.
struct PledgeRequest {
  MemberName master;
  Epoch epoch;
  Duration time;
};

struct PledgeAnswer {
  bool granted = false;
  std::string reason;  // why not
};

// ---- to the driver ----

enum class Role { kNone, kSlave, kMaster };

enum class Accepting {
  kYes,
  kNotMaster,     // ask the master
  kLeaseOver,     // the coordinator was not reached in time
  kTooFewInSync,  // SYNC: fewer than min_in_sync
  kNoQuorum,      // QUORUM: no majority is connected
  kSwitchover,    // for a moment, until the new master takes over
};

// What the replicator writes on the control page. The driver raises `wanted_serial` whenever role
// or epoch differ from what it wrote last, and writes `lease_until` after `replicated`.
struct PageState {
  Role role = Role::kNone;
  Epoch epoch;
  LogOffset replicated;  // LogOffset max in ASYNC
  Instant lease_until{};
  Accepting accepting = Accepting::kNotMaster;
  LogOffset master_start;

  friend bool operator==(const PageState&, const PageState&) = default;
};

namespace action {

// Coordinator::Elect → OnElected.
struct Elect {
  int64_t version;
  GroupRecord record;
  std::string warning;  // not empty: log it as an error; says what may be lost
};
// Coordinator::Update → OnUpdated.
struct Update {
  int64_t version;
  GroupRecord record;
};
// Coordinator::KeepAlive → OnKeptAlive.
struct KeepAlive {};
// Coordinator::Elect with the record of the own epoch → OnRetaken: the lease ran out there while
// this master went on by pledges.
struct Retake {
  int64_t version;
  GroupRecord record;
};
// Coordinator::Release → OnReleased. The page must show the lease as over before it is sent.
struct Release {
  int64_t version;
  GroupRecord record;
};
// GetMember to all other members → OnPeerState for each that answers.
struct AskPeers {};
// Promise(epoch) to all other members → OnPromiseAnswer for each that answers.
struct AskPromises {
  Epoch epoch;
};
// Pledge(epoch, time) to all other members → OnPledgeAnswer for each that answers.
struct AskPledges {
  Epoch epoch;
  Duration time;
};
// Make it durable → OnPromisePersisted.
struct PersistPromise {
  Epoch epoch;
};
struct AnswerPromise {
  uint64_t ticket;  // of OnPromiseAsked
  PromiseAnswer answer;
};
// Connect to `master`, again and again, until another Follow or StopFollowing. Each connection is a
// stream with a new number: say hello() → OnStreamStart; → OnStreamBroken.
// A driver whose broker still writes the log waits for it to stop before it connects.
struct Follow {
  MemberName master;
};
struct StopFollowing {};
// Make the log so, durably (history too) → OnLog, then OnMirrorReady; only then acknowledge.
// Keeps entries of the history up to `to.epoch`.
struct Truncate {
  uint64_t stream;
  EpochHistory::CommonPoint to;
  bool discards_confirmed;  // allowed, but log it as an error
};
// The log has nothing in common with the master's: empty it, begin at `start` → as above. First of
// all the store is marked as the group's, durably (Member::Durable::of_group).
struct Reset {
  uint64_t stream;
  LogOffset start;
  bool discards_confirmed;
};
// The log is damaged behind `to`, and the master has what stood there. Durably, in this order: the
// store takes nothing of an epoch below `seen`; it has no promise any more, since it lacks what it
// had acknowledged; it is truncated → OnLog.
struct Repair {
  EpochHistory::CommonPoint to;
  Epoch seen;
};
// Close this stream (as slave); its master's fault or ours, `why` says. Connect again later.
struct DropStream {
  uint64_t stream;
  absl::Status why;
};
// Close the streams of all slaves: this member is not the master of that epoch any more.
struct DropSlaves {
  absl::Status why;
};
// Close this stream of a slave: it is no member any more.
struct DropSlave {
  uint64_t stream;
  absl::Status why;
};
// Flush the log, begin `epoch` at its end, durably; stop writing it → OnEpochBegun or OnLogFailed.
// First of all the store is marked as the group's, durably.
struct BeginEpoch {
  Epoch epoch;
};

}  // namespace action

using Action =
    std::variant<action::Elect, action::Update, action::KeepAlive, action::Retake, action::Release,
                 action::AskPeers, action::AskPromises, action::AskPledges, action::PersistPromise,
                 action::AnswerPromise, action::Follow, action::StopFollowing, action::Truncate,
                 action::Reset, action::Repair, action::DropStream, action::DropSlaves,
                 action::DropSlave, action::BeginEpoch>;

}  // namespace dunlin::replicator
