// Program: one real program of ours, started, watched, stopped and killed by a test.
//
// Owns the process (in a process group of its own) until it is stopped, killed or the object goes;
// the destructor kills. Standard error goes to a file, whose end is part of every error. One thread
// at a time.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e {

class Program {
 public:
  // Starts `arguments` (the first is the program's path) and waits for its ready line. Errors:
  // FAILED_PRECONDITION (it ended by itself with an exit status), INTERNAL (a signal ended it),
  // DEADLINE_EXCEEDED (no ready line), others when it cannot be started at all.
  static absl::StatusOr<std::unique_ptr<Program>> Start(
      const std::vector<std::string>& arguments, const std::string& stderr_file,
      std::chrono::seconds patience = std::chrono::seconds(30));
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // What the ready line names: 127.0.0.1:port.
  const std::string& address() const { return address_; }
  const std::string& stderr_file() const { return stderr_file_; }
  std::chrono::steady_clock::time_point spawned() const { return spawned_; }

  // kill -9 to the whole group; returns when the process is gone. Idempotent.
  void Kill();
  // SIGSTOP: from the return on the program does nothing more, as when its machine has lost power.
  absl::Status Freeze();
  // SIGCONT: it goes on.
  absl::Status Thaw();
  // SIGTERM, and a wait for exit status 0. The process is gone afterwards in any case.
  absl::Status Stop(std::chrono::seconds patience = std::chrono::seconds(30));
  // FAILED_PRECONDITION or INTERNAL as in Start when the process has ended by itself.
  absl::Status CheckRunning();

  // User and system time used so far; memory that is resident now.
  double CpuSeconds() const;
  uint64_t ResidentBytes() const;

 private:
  Program(pid_t pid, std::string stderr_file);
  absl::Status AwaitReadyLine(int fd, std::chrono::seconds patience);
  // What waitpid said about the end of the process, with the end of its standard error.
  absl::Status Ended(int wait_status);

  pid_t pid_;  // -1 once it was waited for
  const std::string stderr_file_;
  const std::chrono::steady_clock::time_point spawned_;
  std::string address_;
};

// Runs a tool to its end. FAILED_PRECONDITION with its name when its exit status is not 0.
absl::Status RunTool(const std::vector<std::string>& arguments, const std::string& output_file);

// The last lines of a text file, for messages; empty when there is none.
std::string Tail(const std::string& file);

// User and system time of this process.
double OwnCpuSeconds();

}  // namespace dunlin::e2e
