// LocalLog: the log of this member as its replicator sees it, whoever writes it.
//
// While the member is a slave, or not yet master, it is open here: a store::LogMirror, which holds
// the lock of the store. While the broker is master it is closed here, and what the broker wrote is
// read off the control page. The lock decides who writes: that it cannot be opened because the
// broker still has it is no error, but tried again.
//
// One thread, the driver's; a thread inside, `mirror-flush`, syncs what was received as long as
// there is something to sync, so that receiving goes on meanwhile (SYNC_FLUSH).

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/transport/log_receiver.h"
#include "services/store/log/control_page.h"
#include "services/store/log/log_mirror.h"

namespace dunlin::replicator {

class LocalLog {
 public:
  struct Options {
    store::LogMirrorOptions mirror;
    bool flush_at_once = false;  // acknowledgements wait for the disk
  };
  // `on_flushed` is called by the thread inside when more is on disk. All must outlive the log.
  LocalLog(Options options, store::ControlPage& page, FileSystem& files,
           std::function<void()> on_flushed);
  ~LocalLog();  // Close

  bool open() const { return mirror_ != nullptr; }
  // FAILED_PRECONDITION while the broker writes it. Others are final.
  absl::Status Open();
  // Syncs, and lets the lock go: from now on the broker may write. Idempotent.
  absl::Status Close();
  // The broker that wrote it is dead: what it left in memory goes to the disk. The log stays
  // closed, so that the broker may go on with it. FAILED_PRECONDITION: it is not dead.
  absl::Status Salvage();

  LogState state() const;
  // The sticky error of the mirror.
  absl::Status health() const { return open() ? mirror_->health() : absl::OkStatus(); }

  // REQUIRES of all of these: open(). Errors are those of store::LogMirror.
  absl::Status Append(const LogReceiver::Frame& frame);
  absl::Status BeginEpoch(Epoch epoch, LogOffset start);
  // Keeps the history up to `to.epoch`. Durable on return.
  absl::Status TruncateTo(EpochHistory::CommonPoint to, store::LogMirror::Confirmed confirmed);
  absl::Status Reset(LogOffset start, store::LogMirror::Confirmed confirmed);
  absl::Status DropBefore(LogOffset offset) { return mirror_->DropBefore(offset); }

 private:
  void FlushLoop(store::LogMirror& mirror) ABSL_LOCKS_EXCLUDED(mutex_);
  // What is wanted on disk is the log up to its end: less, when it was cut.
  void WakeFlusher() ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  store::ControlPage& page_;
  FileSystem& files_;
  const std::function<void()> on_flushed_;
  std::unique_ptr<store::LogMirror> mirror_;
  EpochHistory history_;  // of the log when it was last open

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  LogOffset wanted_ ABSL_GUARDED_BY(mutex_);  // to be on disk
  std::thread flusher_;                       // while open, if flush_at_once
};

}  // namespace dunlin::replicator
