// BusyBeat: the broker's heartbeat while its thread opens or closes a role.
//
// That may take longer than a broker may be silent (tables are built from the log, calls end, a
// database closes), and a master that is deposed for it is followed by one that is deposed for the
// same. So for as long as this is there somebody else beats, up to a limit: what takes longer is
// taken for a broker that hangs.

#pragma once

#include <chrono>
#include <thread>

#include "services/base/mutex.h"
#include "services/store/log/control_page.h"

namespace dunlin::broker {

class BusyBeat {
 public:
  struct Options {
    std::chrono::milliseconds interval{250};
    std::chrono::milliseconds limit = std::chrono::minutes(10);
  };

  // `page` must outlive it.
  explicit BusyBeat(store::ControlPage& page) : BusyBeat(page, Options()) {}
  BusyBeat(store::ControlPage& page, const Options& options);
  ~BusyBeat();
  BusyBeat(const BusyBeat&) = delete;
  BusyBeat& operator=(const BusyBeat&) = delete;

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  store::ControlPage& page_;
  const Options options_;
  Mutex mutex_;
  CondVar over_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
