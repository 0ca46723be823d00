#include "services/replicator/transport/lane.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/replicator/transport/wire.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

constexpr size_t kMaxThreadName = 15;
// A credit beyond it makes no difference.
constexpr uint64_t kMaxCredit = uint64_t{1} << 30;

int64_t Bounded(uint64_t credit) { return static_cast<int64_t>(std::min(credit, kMaxCredit)); }

}  // namespace

Lane::Lane(const std::string& slave, const LaneOptions& options, OpenLogSource open,
           const Clock& clock)
    : options_(options), open_(std::move(open)), clock_(clock) {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), ("to-" + slave).substr(0, kMaxThreadName).c_str());
}

Lane::~Lane() { Stop(absl::UnavailableError("the member stops")); }

void Lane::Take(std::shared_ptr<FollowCall> call, const StreamStart& start,
                const EpochHistory& history, uint64_t credit) {
  std::shared_ptr<FollowCall> before;
  {
    MutexLock lock(mutex_);
    if (stream_.has_value()) before = std::move(stream_->call);
    stream_.reset();
    if (!stopping_) {
      stream_.emplace(Stream{.call = call,
                             .start = start,
                             .history = history,
                             .at = start.common.has_value() ? start.common->offset : start.start,
                             .begun = start.common.has_value() ? start.common->epoch : Epoch(0),
                             .credit = Bounded(credit),
                             .heard = Instants::now()});
      changed_.SignalAll();
      call = nullptr;
    }
  }
  if (before != nullptr) before->EndNow(absl::AbortedError("the member has connected again"));
  if (call != nullptr) call->End(absl::UnavailableError("the member stops"));
}

absl::Status Lane::OnAck(const FollowCall& call, const Ack& ack, uint64_t credit) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(Check(call));
  if (ack.received > stream_->at) {
    return absl::InvalidArgumentError(fmt::format("{} is acknowledged, but only {} has been sent",
                                                  ack.received.value(), stream_->at.value()));
  }
  stream_->heard = Instants::now();
  stream_->credit = std::min(stream_->credit + Bounded(credit), static_cast<int64_t>(kMaxCredit));
  changed_.SignalAll();
  return absl::OkStatus();
}

void Lane::Wake() {
  MutexLock lock(mutex_);
  changed_.SignalAll();
}

void Lane::Advance(const LogExtent& extent) {
  MutexLock lock(mutex_);
  extent_ = extent;
  changed_.SignalAll();
}

void Lane::Drop(const absl::Status& why) {
  std::shared_ptr<FollowCall> call;
  {
    MutexLock lock(mutex_);
    if (stream_.has_value()) call = std::move(stream_->call);
    stream_.reset();
    changed_.SignalAll();
  }
  if (call != nullptr) call->End(why);
}

void Lane::Stop(const absl::Status& why) {
  std::shared_ptr<FollowCall> call;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (stream_.has_value()) call = std::move(stream_->call);
    stream_.reset();
    changed_.SignalAll();
  }
  if (call != nullptr) call->EndNow(why);
  if (thread_.joinable()) thread_.join();
}

void Lane::Run() {
  for (;;) {
    std::shared_ptr<FollowCall> call;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !stream_.has_value()) changed_.Wait(mutex_);
      if (stopping_) return;
      call = stream_->call;
    }
    const absl::Status ended = Serve(*call);
    {
      MutexLock lock(mutex_);
      if (!stream_.has_value() || stream_->call != call) continue;  // whoever took it away ends it
      stream_.reset();
    }
    // Who is silent may not be reading either.
    if (absl::IsDeadlineExceeded(ended)) {
      call->EndNow(ended);
    } else {
      call->End(ended);
    }
  }
}

absl::Status Lane::Check(const FollowCall& call) const {
  if (stopping_) return absl::UnavailableError("the member stops");
  if (!stream_.has_value() || stream_->call.get() != &call) {
    return absl::AbortedError("the stream is not served");
  }
  if (Instants::now() - stream_->heard >= options_.silence) {
    return absl::DeadlineExceededError(
        fmt::format("nothing was heard of the slave for {} ms", options_.silence.count()));
  }
  if (call.ended()) return absl::UnavailableError("the slave has gone");
  return absl::OkStatus();
}

EpochHistory::Entry Lane::NextEpoch() const {
  EpochHistory::Entry found;
  for (const EpochHistory::Entry& entry : stream_->history.entries()) {
    if (entry.start > stream_->at) break;
    found = entry;
    if (entry.start == stream_->at && entry.epoch > stream_->begun) break;
  }
  return found;
}

absl::Status Lane::Write(FollowCall& call, const grpc::ByteBuffer& answer) {
  MutexLock lock(mutex_);
  for (;;) {
    RETURN_IF_ERROR(Check(call));
    if (call.Write(answer)) return absl::OkStatus();
    changed_.WaitUntil(mutex_, stream_->heard + options_.silence);
  }
}

absl::StatusOr<Lane::Turn> Lane::AwaitTurn(FollowCall& call, Instants::time_point heartbeat_at,
                                           LogOffset told) {
  MutexLock lock(mutex_);
  bool confirmed = false;
  for (;;) {
    RETURN_IF_ERROR(Check(call));
    const bool begins = NextEpoch().epoch > stream_->begun;
    const bool more = extent_.end > std::max(stream_->at, stream_->barren);
    const Turn turn{.extent = extent_, .records = !begins && more && stream_->credit > 0};
    const Instants::time_point now = Instants::now();
    if (begins || turn.records || now >= heartbeat_at) return turn;
    if (!confirmed && extent_.confirm > told) {
      confirmed = true;
      heartbeat_at = std::min(heartbeat_at, now + options_.confirm_delay);
    }
    changed_.WaitUntil(mutex_, std::min(heartbeat_at, stream_->heard + options_.silence));
  }
}

absl::StatusOr<LogSource::Piece> Lane::ReadPiece(LogSource& source, FollowCall& call,
                                                 const Turn& turn) {
  LogSource::Piece piece;
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(Check(call));
    piece.begin = stream_->at;
    piece.end = stream_->at;
    piece.epoch = NextEpoch().epoch;
  }
  if (!turn.records) return piece;
  absl::StatusOr<LogSource::Piece> read =
      source.Read(piece.begin, turn.extent.end, options_.frame_bytes);
  if (read.ok()) return read;
  if (absl::IsNotFound(read.status())) {
    return absl::OutOfRangeError(fmt::format("{} has expired meanwhile", piece.begin.value()));
  }
  if (!absl::IsOutOfRange(read.status())) {
    log::Error("the log cannot be shipped from {} on: {}", piece.begin.value(),
               read.status().ToString());
    return read;
  }
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(Check(call));
  stream_->barren = turn.extent.end;
  return piece;
}

absl::StatusOr<LogOffset> Lane::Spend(FollowCall& call, const LogSource::Piece& piece) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(Check(call));
  const EpochHistory::Entry epoch = NextEpoch();
  if (epoch.epoch != piece.epoch) {
    return absl::DataLossError(
        fmt::format("what stands at {} is of epoch {}, where epoch {} was in force",
                    piece.begin.value(), piece.epoch.value(), epoch.epoch.value()));
  }
  stream_->at = piece.end;
  stream_->begun = epoch.epoch;
  stream_->credit -= static_cast<int64_t>(piece.bytes.size());
  return epoch.start;
}

absl::Status Lane::Serve(FollowCall& call) {
  ASSIGN_OR_RETURN(const std::unique_ptr<LogSource> source, open_());
  v1::FollowResponse greeting;
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(Check(call));
    *greeting.mutable_start() = ToWire(stream_->start);
  }
  RETURN_IF_ERROR(Write(call, Serialize(greeting)));
  FrameChain chain;
  LogOffset told;  // of what is confirmed
  // The first frame goes at once: it may begin an epoch.
  Instants::time_point heartbeat_at = Instants::now();
  for (;;) {
    ASSIGN_OR_RETURN(const Turn turn, AwaitTurn(call, heartbeat_at, told));
    ASSIGN_OR_RETURN(const LogSource::Piece piece, ReadPiece(*source, call, turn));
    ASSIGN_OR_RETURN(const LogOffset epoch_start, Spend(call, piece));
    const FrameHeader header{.epoch = piece.epoch,
                             .epoch_start = epoch_start,
                             .offset = piece.begin,
                             .confirm = turn.extent.confirm,
                             .end = turn.extent.end,
                             .begin = turn.extent.begin,
                             .segment_end = piece.segment_end,
                             .time = clock_.Now()};
    const uint32_t crc = chain.Extend(header, piece.bytes);
    RETURN_IF_ERROR(Write(call, EncodeFrame(header, crc, piece.bytes, piece.pin)));
    told = header.confirm;
    heartbeat_at = Instants::now() + options_.heartbeat;
  }
}

}  // namespace dunlin::replicator
