#include "operator/k8s/testing/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "services/base/check.h"

extern char** environ;

namespace dunlin::k8s {
namespace {

pid_t Spawn(const std::vector<std::string>& command, const posix_spawn_file_actions_t& actions) {
  std::vector<std::string> arguments = command;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  CHECK(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) == 0, command[0]);
  return pid;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  std::array<int, 2> pipe{-1, -1};
  if (log.empty()) {
    CHECK(pipe2(pipe.data(), O_CLOEXEC) == 0);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  }
  pid_ = Spawn(command, actions);
  posix_spawn_file_actions_destroy(&actions);
  if (pipe[1] >= 0) close(pipe[1]);
  output_ = pipe[0];
}

ChildProcess::~ChildProcess() {
  Kill();
  if (output_ >= 0) close(output_);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::exchange(other.output_, -1)),
      buffer_(std::move(other.buffer_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(output_, other.output_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

void ChildProcess::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  Wait();
}

void ChildProcess::Terminate() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  Wait();
}

void ChildProcess::Freeze() { kill(pid_, SIGSTOP); }
void ChildProcess::Thaw() { kill(pid_, SIGCONT); }

void ChildProcess::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::string ChildProcess::ReadLine() {
  size_t end = 0;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    std::array<char, 4096> part{};
    const ssize_t got = read(output_, part.data(), part.size());
    if (got <= 0) return "";
    buffer_.append(part.data(), static_cast<size_t>(got));
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

std::string OutputOf(const std::vector<std::string>& command, bool may_fail) {
  std::array<int, 2> pipe{};
  CHECK(pipe2(pipe.data(), O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
  const pid_t pid = Spawn(command, actions);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe[1]);
  std::string output;
  std::array<char, 4096> part{};
  ssize_t got = 0;
  while ((got = read(pipe[0], part.data(), part.size())) > 0) {
    output.append(part.data(), static_cast<size_t>(got));
  }
  close(pipe[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(may_fail || (WIFEXITED(status) && WEXITSTATUS(status) == 0), command[0] + ": " + output);
  return output;
}

}  // namespace dunlin::k8s
