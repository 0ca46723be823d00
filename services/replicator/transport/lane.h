// Lane: the way of the log from the master to one slave; a thread that reads and sends.
//
// Each slave has its own, so that one that reads slowly, or far back in the log from a cold disk,
// holds up nobody else. What is on its way to a slave is bounded by the credit it gave. When there
// is nothing to send a heartbeat goes, soon when something was confirmed meanwhile.
//
// Thread-safe.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/transport/follow_call.h"
#include "services/replicator/transport/follow_frame.h"
#include "services/replicator/transport/log_source.h"

namespace dunlin::replicator {

// The master's log, as far as slaves may know of it.
struct LogExtent {
  LogOffset begin;
  LogOffset end;      // written, so that it can be read
  LogOffset confirm;  // at most `end`

  friend bool operator==(const LogExtent&, const LogExtent&) = default;
};

struct LaneOptions {
  std::chrono::milliseconds heartbeat{500};
  std::chrono::milliseconds confirm_delay{20};  // what was confirmed is told at the latest so late
  std::chrono::milliseconds silence{10'000};    // a slave that says nothing for so long has gone
  size_t frame_bytes = kMaxFrameBytes;
};

class Lane {
 public:
  // `clock` must outlive the lane.
  Lane(const std::string& slave, const LaneOptions& options, OpenLogSource open,
       const Clock& clock);
  // REQUIRES: Stop() was called.
  ~Lane();

  // From now on `call` gets the log, from where `start` says; `history` is the master's. The one
  // that got it before is ended.
  void Take(std::shared_ptr<FollowCall> call, const StreamStart& start, const EpochHistory& history,
            uint64_t credit) ABSL_LOCKS_EXCLUDED(mutex_);
  // INVALID_ARGUMENT: the slave has what was not sent. ABORTED: the lane does not serve `call`.
  absl::Status OnAck(const FollowCall& call, const Ack& ack, uint64_t credit)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // A write has ended, or the call has.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);
  void Advance(const LogExtent& extent) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the stream that is served, if any.
  void Drop(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends what is under way. Idempotent.
  void Stop(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Instants = std::chrono::steady_clock;

  // One stream that is served.
  struct Stream {
    std::shared_ptr<FollowCall> call;
    StreamStart start;
    EpochHistory history;
    LogOffset at;      // what has been sent
    Epoch begun;       // the slave has been told of the epochs up to it
    LogOffset barren;  // there was nothing to read although the log was said to end here
    int64_t credit = 0;
    Instants::time_point heard;
  };
  struct Turn {
    LogExtent extent;
    bool records = false;  // else a heartbeat, or the begin of an epoch
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Why the stream cannot go on.
  absl::Status Serve(FollowCall& call) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until there is something to send.
  absl::StatusOr<Turn> AwaitTurn(FollowCall& call, Instants::time_point heartbeat_at,
                                 LogOffset told) ABSL_LOCKS_EXCLUDED(mutex_);
  // Records for the turn; an empty piece when there are none.
  absl::StatusOr<LogSource::Piece> ReadPiece(LogSource& source, FollowCall& call, const Turn& turn)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts the piece as sent: before it is, since the acknowledgement may be quick.
  // Returns where its epoch began.
  absl::StatusOr<LogOffset> Spend(FollowCall& call, const LogSource::Piece& piece)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Write(FollowCall& call, const grpc::ByteBuffer& answer) ABSL_LOCKS_EXCLUDED(mutex_);
  // Not OK when the stream that the lane serves is not `call`, or is not alive.
  absl::Status Check(const FollowCall& call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whose begin the next frame tells, if the slave has not been told of it: that of the records
  // that follow, or one that begins there and got no record. A slave begins all of them, in order:
  // what is confirmed in an epoch stands in the log of every later master, the epoch's begin too.
  EpochHistory::Entry NextEpoch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LaneOptions options_;
  const OpenLogSource open_;
  const Clock& clock_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::optional<Stream> stream_ ABSL_GUARDED_BY(mutex_);
  LogExtent extent_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::replicator
