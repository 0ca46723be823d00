// How a program starts and ends: StopSignal, the line that says it is ready, the open-file limit.

#pragma once

#include <string>
#include <string_view>

#include "services/runtime/unique_fd.h"

namespace dunlin {

// Turns the first SIGTERM or SIGINT into an orderly stop and lets the second one kill.
//
// REQUIRES: made by main before any other thread, so that all threads inherit the blocked signals;
// one per process. Also makes the process ignore SIGPIPE.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal() = default;
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Sleeps until a signal arrives or Request is called; returns the signal's name, or "" for a
  // request. From then on a signal has its default effect: it ends the process at once. Main
  // thread only.
  std::string_view Wait();

  // Ends Wait from any thread: the program itself wants to stop.
  void Request();

 private:
  UniqueFd signals_;  // signalfd
  UniqueFd request_;  // eventfd
};

// The one line on standard output, for people and scripts that wait for it:
// "`program` is ready on `address`, metrics on `metrics_address`, pid 123". The part about metrics
// is left out when the address is empty.
void AnnounceReady(std::string_view program, std::string_view address,
                   std::string_view metrics_address);

// Raises the soft limit of open files to the hard one (at most 1,048,576): connections and store
// files need more than the customary 1,024. Says so in the log when it cannot.
void RaiseOpenFileLimit();

}  // namespace dunlin
