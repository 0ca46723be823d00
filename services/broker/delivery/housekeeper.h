// Housekeeper: what the broker does at intervals: saves progress, renews leases, forgets clients.
//
// One thread (`housekeeper`) calls Step(); tests call it themselves. A failed save is tried again
// at the next step.

#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/clients/client_registry.h"
#include "services/broker/progress/progress.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class Housekeeper {
 public:
  // How much progress a crash can undo (messages are then delivered again), and how often leases
  // and clients are looked after.
  static constexpr std::chrono::milliseconds kSaveInterval{100};
  static constexpr std::chrono::milliseconds kRenewInterval{5000};

  // What else is done at a step; each may be empty.
  struct Hooks {
    std::function<bool()> watch;                                // until it returns true
    std::function<void()> step;                                 // once progress is saved
    std::function<void(const std::string& client_id)> on_gone;  // a client has gone silent
  };
  // Starts the thread. All arguments must outlive the housekeeper.
  Housekeeper(store::CommitLog& log, Progress& progress, ClientRegistry& clients,
              const Clock& clock, Hooks hooks);
  ~Housekeeper();

  void Step();

  // Appends what changed as PROGRESS records. Errors of the log: nothing is lost, try again.
  absl::Status SaveProgress();

  // Saves once more and joins the thread. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);

  store::CommitLog& log_;
  Progress& progress_;
  ClientRegistry& clients_;
  const Clock& clock_;
  Timestamp last_renewal_;
  const Hooks hooks_;
  bool watched_ = false;
  bool saving_fails_ = false;  // so that it is logged once

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
