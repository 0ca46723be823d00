#include "services/replicator/driver/local_log.h"

#include <pthread.h>

#include <optional>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/replicator/driver/stored_history.h"

namespace dunlin::replicator {
LocalLog::LocalLog(Options options, store::ControlPage& page, FileSystem& files,
                   std::function<void()> on_flushed)
    : options_(std::move(options)),
      page_(page),
      files_(files),
      on_flushed_(std::move(on_flushed)) {}

LocalLog::~LocalLog() {
  if (const absl::Status closed = Close(); !closed.ok()) {
    log::Error("the log was not closed cleanly: {}", closed.ToString());
  }
}

absl::Status LocalLog::Open() {
  if (open()) return absl::OkStatus();
  ASSIGN_OR_RETURN(mirror_, store::LogMirror::Open(options_.mirror, files_));
  history_ = HistoryOf(mirror_->epochs());
  if (options_.flush_at_once) {
    {
      MutexLock lock(mutex_);
      stopping_ = false;
      wanted_ = LogOffset(0);
    }
    flusher_ = std::thread([this] { FlushLoop(*mirror_); });
    pthread_setname_np(flusher_.native_handle(), "mirror-flush");
  }
  return absl::OkStatus();
}

absl::Status LocalLog::Close() {
  if (!open()) return absl::OkStatus();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (flusher_.joinable()) flusher_.join();
  history_ = HistoryOf(mirror_->epochs());
  const absl::Status closed = mirror_->Close();
  mirror_.reset();
  return closed;
}

absl::Status LocalLog::Salvage() {
  // Opening syncs what is found.
  RETURN_IF_ERROR(Open());
  return Close();
}

LogState LocalLog::state() const {
  if (!open()) {
    return {.start = page_.log_start(),
            .end = page_.appended(),
            .flushed = page_.flushed(),
            .history = history_,
            .damaged = {}};
  }
  const std::vector<store::DamagedRange> damage = mirror_->damage();
  return {.start = mirror_->start(),
          .end = mirror_->end(),
          .flushed = mirror_->flushed(),
          .history = history_,
          .damaged = damage.empty() ? std::nullopt : std::optional(damage.front().begin)};
}

absl::Status LocalLog::Append(const LogReceiver::Frame& frame) {
  const FrameHeader& header = frame.header;
  if (header.epoch > history_.last()) RETURN_IF_ERROR(BeginEpoch(header.epoch, header.epoch_start));
  if (frame.records.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(mirror_->Append({.at = header.offset,
                                   .segment_end = header.segment_end,
                                   .epoch = header.epoch,
                                   .bytes = frame.records}));
  WakeFlusher();
  return absl::OkStatus();
}

absl::Status LocalLog::BeginEpoch(Epoch epoch, LogOffset start) {
  RETURN_IF_ERROR(mirror_->BeginEpoch(epoch, start));
  history_ = HistoryOf(mirror_->epochs());
  return absl::OkStatus();
}

absl::Status LocalLog::TruncateTo(EpochHistory::CommonPoint to,
                                  store::LogMirror::Confirmed confirmed) {
  RETURN_IF_ERROR(mirror_->TruncateTo({to.epoch, to.offset}, confirmed));
  history_ = HistoryOf(mirror_->epochs());
  WakeFlusher();
  return absl::OkStatus();
}

absl::Status LocalLog::Reset(LogOffset start, store::LogMirror::Confirmed confirmed) {
  RETURN_IF_ERROR(mirror_->Reset(start, confirmed));
  history_ = EpochHistory();
  WakeFlusher();
  return absl::OkStatus();
}

void LocalLog::WakeFlusher() {
  if (!options_.flush_at_once) return;
  MutexLock lock(mutex_);
  wanted_ = mirror_->end();
  changed_.SignalAll();
}

void LocalLog::FlushLoop(store::LogMirror& mirror) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && wanted_ <= mirror.flushed()) changed_.Wait(mutex_);
      if (stopping_) return;
    }
    // A failure is final for the mirror, whose health() tells the driver.
    const absl::Status flushed = mirror.Flush();
    if (!flushed.ok()) log::Error("the log cannot be flushed: {}", flushed.ToString());
    on_flushed_();
    if (!flushed.ok()) return;
  }
}

}  // namespace dunlin::replicator
