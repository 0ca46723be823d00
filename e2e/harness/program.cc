#include "e2e/harness/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "services/base/status_macros.h"

extern char** environ;

namespace dunlin::e2e {

namespace {

using std::chrono::steady_clock;

constexpr size_t kTailBytes = 2000;

std::vector<char*> AsArgv(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

// `stdout_fd` -1: to `file` as well.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, const std::string& file,
                            int stdout_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, file.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, stdout_fd < 0 ? STDERR_FILENO : stdout_fd,
                                   STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes,
                                 AsArgv(arguments).data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::NotFoundError(fmt::format("{}: {}", arguments[0], strerror(error)));
  }
  return pid;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Whether the process has ended within `patience`; then `status` is what waitpid said.
bool AwaitEnd(pid_t pid, std::chrono::milliseconds patience, int& status) {
  const auto deadline = steady_clock::now() + patience;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (steady_clock::now() >= deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

}  // namespace

Program::Program(pid_t pid, std::string stderr_file)
    : pid_(pid), stderr_file_(std::move(stderr_file)), spawned_(steady_clock::now()) {}

Program::~Program() { Kill(); }

absl::StatusOr<std::unique_ptr<Program>> Program::Start(const std::vector<std::string>& arguments,
                                                        const std::string& stderr_file,
                                                        std::chrono::seconds patience) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(fmt::format("pipe: {}", strerror(errno)));
  }
  absl::StatusOr<pid_t> pid = Spawn(arguments, stderr_file, ends[1]);
  close(ends[1]);
  if (!pid.ok()) {
    close(ends[0]);
    return pid.status();
  }
  std::unique_ptr<Program> program(new Program(*pid, stderr_file));
  const absl::Status ready = program->AwaitReadyLine(ends[0], patience);
  close(ends[0]);
  RETURN_IF_ERROR(ready);
  return program;
}

absl::Status Program::AwaitReadyLine(int fd, std::chrono::seconds patience) {
  const auto deadline = steady_clock::now() + patience;
  std::string line;
  while (line.find('\n') == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    pollfd waiting{fd, POLLIN, 0};
    if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
      return absl::DeadlineExceededError(
          fmt::format("not ready after {} s\n{}", patience.count(), Tail(stderr_file_)));
    }
    char buffer[512];
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) {
      int status = 0;
      if (!AwaitEnd(pid_, patience, status)) {
        return absl::DeadlineExceededError("closed its standard output and runs on");
      }
      pid_ = -1;
      return Ended(status);
    }
    line.append(buffer, static_cast<size_t>(got));
  }
  constexpr std::string_view kBefore = "ready on ";
  const size_t begin = line.find(kBefore);
  if (begin == std::string::npos) {
    return absl::InternalError("its first line is not a ready line: " + line);
  }
  const std::string rest = line.substr(begin + kBefore.size());
  address_ = rest.substr(0, rest.find_first_of(", \n"));
  return absl::OkStatus();
}

absl::Status Program::Ended(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::InternalError(fmt::format("ended by signal {} ({})\n{}", WTERMSIG(wait_status),
                                           strsignal(WTERMSIG(wait_status)), Tail(stderr_file_)));
  }
  return absl::FailedPreconditionError(
      fmt::format("exit status {}\n{}", WEXITSTATUS(wait_status), Tail(stderr_file_)));
}

void Program::Kill() {
  if (pid_ < 0) return;
  kill(-pid_, SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
}

absl::Status Program::Freeze() {
  if (pid_ < 0) return absl::FailedPreconditionError("not running");
  int status = 0;
  if (kill(-pid_, SIGSTOP) != 0 || waitpid(pid_, &status, WUNTRACED) != pid_) {
    return absl::InternalError(fmt::format("SIGSTOP: {}", strerror(errno)));
  }
  if (WIFSTOPPED(status)) return absl::OkStatus();
  pid_ = -1;
  return Ended(status);
}

absl::Status Program::Thaw() {
  if (pid_ < 0) return absl::FailedPreconditionError("not running");
  if (kill(-pid_, SIGCONT) == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("SIGCONT: {}", strerror(errno)));
}

absl::Status Program::Stop(std::chrono::seconds patience) {
  if (pid_ < 0) return absl::FailedPreconditionError("not running");
  kill(pid_, SIGTERM);
  int status = 0;
  if (!AwaitEnd(pid_, patience, status)) {
    Kill();
    return absl::DeadlineExceededError(
        fmt::format("still there {} s after SIGTERM\n{}", patience.count(), Tail(stderr_file_)));
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return Ended(status);
}

absl::Status Program::CheckRunning() {
  int status = 0;
  if (pid_ < 0) return absl::FailedPreconditionError("not running");
  if (waitpid(pid_, &status, WNOHANG) == 0) return absl::OkStatus();
  pid_ = -1;
  return Ended(status);
}

double Program::CpuSeconds() const {
  std::ifstream file(fmt::format("/proc/{}/stat", pid_));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The name in parentheses may hold anything; utime and stime are the 12th and 13th fields
  // behind it.
  const size_t close_at = text.rfind(')');
  if (close_at == std::string::npos) return 0;
  std::istringstream fields(text.substr(close_at + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0;
  uint64_t system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t Program::ResidentBytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", pid_));
  uint64_t total = 0;
  uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

absl::Status RunTool(const std::vector<std::string>& arguments, const std::string& output_file) {
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, output_file, -1));
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFSIGNALED(status)) {
    return absl::InternalError(fmt::format("{}: ended by signal {}\n{}", arguments[0],
                                           WTERMSIG(status), Tail(output_file)));
  }
  return absl::FailedPreconditionError(
      fmt::format("{}: exit status {}\n{}", arguments[0], WEXITSTATUS(status), Tail(output_file)));
}

std::string Tail(const std::string& file) {
  std::ifstream stream(file);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  return text.size() <= kTailBytes ? text : text.substr(text.size() - kTailBytes);
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

}  // namespace dunlin::e2e
