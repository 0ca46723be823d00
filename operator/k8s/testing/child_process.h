// ChildProcess: a program that a test starts, and kills with the object. One thread at a time.

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace dunlin::k8s {

class ChildProcess {
 public:
  ChildProcess() = default;
  // What it writes goes to `log`; with an empty one its standard output is read by ReadLine.
  ChildProcess(const std::vector<std::string>& command, const std::string& log);
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  bool is_running() const { return pid_ > 0; }
  void Kill();       // -9
  void Terminate();  // SIGTERM, and waits
  void Freeze();     // SIGSTOP
  void Thaw();       // SIGCONT

  // The next line, without its end; waits for it. Empty: there is no more.
  std::string ReadLine();

 private:
  void Wait();

  pid_t pid_ = -1;
  int output_ = -1;
  std::string buffer_;
};

// Its standard output, to the end. CHECKs that it exits with 0 unless `may_fail`.
std::string OutputOf(const std::vector<std::string>& command, bool may_fail = false);

}  // namespace dunlin::k8s
