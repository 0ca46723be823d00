// ServerProcess: a program under test as a process of its own, from its ready line to its end.
//
// Owns the process: what is still running when the object goes is killed. Standard error goes to a
// file, so that a failure can show it. Not thread-safe.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e {

class ServerProcess {
 public:
  // Starts `command` (a path and its arguments) and waits for the line "... is ready on HOST:PORT"
  // on its standard output. Standard error is appended to `log_path`; an error shows its end.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(
      const std::vector<std::string>& command, const std::string& log_path,
      std::chrono::milliseconds patience = std::chrono::seconds(60));
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  std::chrono::steady_clock::time_point started() const { return started_; }
  std::chrono::milliseconds ready_after() const { return ready_after_; }

  // SIGKILL, and waits until the process is gone.
  void Kill();
  // SIGTERM; an error unless the process ends with status 0 within `patience`.
  absl::Status Stop(std::chrono::milliseconds patience = std::chrono::seconds(60));
  // False once the process ended by itself.
  bool IsRunning();

  // Processor time of the process so far, and its resident memory.
  std::chrono::duration<double> CpuTime() const;
  double ResidentMebibytes() const;

 private:
  ServerProcess(std::string log_path, std::chrono::steady_clock::time_point started)
      : log_path_(std::move(log_path)), started_(started) {}
  absl::Status Spawn(const std::vector<std::string>& command);
  absl::Status AwaitReadyLine(std::chrono::milliseconds patience);
  absl::Status Failure(std::string_view what) const;

  const std::string log_path_;
  const std::chrono::steady_clock::time_point started_;
  std::chrono::milliseconds ready_after_{};
  std::string address_;
  pid_t pid_ = -1;
  int output_ = -1;
  int exit_status_ = 0;
};

struct DunlinOptions {
  std::string program;
  std::string data_dir;
  bool sync_flush = false;
  uint64_t segment_size_bytes = 16 << 20;
  std::vector<std::string> more_settings;  // KEY=VALUE
};

// The command that serves `options.data_dir` on a free port of the loopback interface.
std::vector<std::string> DunlinCommand(const DunlinOptions& options);

// A pause of the load generator itself, not a way to wait for the server.
void Pause(std::chrono::milliseconds duration);

}  // namespace dunlin::e2e
