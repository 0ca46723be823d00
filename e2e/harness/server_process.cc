#include "e2e/harness/server_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kShownLogBytes = 4096;
constexpr std::string_view kReady = " is ready on ";

std::string EndOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.size() > kShownLogBytes ? text.substr(text.size() - kShownLogBytes) : text;
}

}  // namespace

void Pause(milliseconds duration) { poll(nullptr, 0, static_cast<int>(duration.count())); }

std::vector<std::string> DunlinCommand(const DunlinOptions& options) {
  std::vector<std::string> command = {options.program, "--data-dir", options.data_dir};
  std::vector<std::string> settings = {
      "server.listen_address=127.0.0.1:0",
      "metrics.listen_address=127.0.0.1:0",
      "broker.auto_create_topics=true",
      "broker.max_receive_batch=1024",
      fmt::format("store.flush_mode={}", options.sync_flush ? "SYNC_FLUSH" : "ASYNC_FLUSH"),
      fmt::format("store.segment_size_bytes={}", options.segment_size_bytes)};
  settings.insert(settings.end(), options.more_settings.begin(), options.more_settings.end());
  for (const std::string& setting : settings) {
    command.push_back("--set");
    command.push_back(setting);
  }
  return command;
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::vector<std::string>& command, const std::string& log_path, milliseconds patience) {
  std::unique_ptr<ServerProcess> server(new ServerProcess(log_path, steady_clock::now()));
  RETURN_IF_ERROR(server->Spawn(command));
  RETURN_IF_ERROR(server->AwaitReadyLine(patience));
  return server;
}

ServerProcess::~ServerProcess() {
  Kill();
  if (output_ >= 0) close(output_);
}

absl::Status ServerProcess::Spawn(const std::vector<std::string>& command) {
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
    return absl::InternalError(fmt::format("pipe2: {}", std::strerror(errno)));
  }
  output_ = pipe_ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path_.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const int error =
      posix_spawn(&pid_, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  if (error != 0) {
    pid_ = -1;
    return absl::NotFoundError(
        fmt::format("cannot start {}: {}", command[0], std::strerror(error)));
  }
  return absl::OkStatus();
}

absl::Status ServerProcess::AwaitReadyLine(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  std::string line;
  while (line.find('\n') == std::string::npos) {
    const auto left = duration_cast<milliseconds>(deadline - steady_clock::now());
    pollfd wait{.fd = output_, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return Failure(fmt::format("not ready after {} ms", patience.count()));
    }
    std::array<char, 512> buffer{};
    const ssize_t got = read(output_, buffer.data(), buffer.size());
    if (got == 0) return Failure("the program ended before it was ready");
    if (got > 0) line.append(buffer.data(), static_cast<size_t>(got));
  }
  ready_after_ = duration_cast<milliseconds>(steady_clock::now() - started_);
  const size_t begin = line.find(kReady);
  if (begin == std::string::npos) return Failure("not a ready line: " + line);
  const size_t address = begin + kReady.size();
  address_ = line.substr(address, line.find_first_of(", \n", address) - address);
  return absl::OkStatus();
}

absl::Status ServerProcess::Failure(std::string_view what) const {
  return absl::UnavailableError(
      fmt::format("{}; the end of {}:\n{}", what, log_path_, EndOfFile(log_path_)));
}

bool ServerProcess::IsRunning() {
  if (pid_ < 0) return false;
  if (waitpid(pid_, &exit_status_, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

void ServerProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &exit_status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

absl::Status ServerProcess::Stop(milliseconds patience) {
  if (pid_ >= 0) kill(pid_, SIGTERM);
  const auto deadline = steady_clock::now() + patience;
  while (IsRunning()) {
    if (steady_clock::now() > deadline) {
      Kill();
      return Failure(fmt::format("still running {} ms after SIGTERM", patience.count()));
    }
    Pause(milliseconds(5));
  }
  if (WIFEXITED(exit_status_) && WEXITSTATUS(exit_status_) == 0) return absl::OkStatus();
  return Failure(WIFSIGNALED(exit_status_)
                     ? fmt::format("ended by signal {}", WTERMSIG(exit_status_))
                     : fmt::format("ended with status {}", WEXITSTATUS(exit_status_)));
}

std::chrono::duration<double> ServerProcess::CpuTime() const {
  std::ifstream file(fmt::format("/proc/{}/stat", pid_));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  // The fields after the name, which may itself hold spaces; utime and stime are the 12th and 13th.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string field;
  for (int i = 0; i < 11; ++i) fields >> field;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return std::chrono::duration<double>((user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

double ServerProcess::ResidentMebibytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", pid_));
  double total_pages = 0;
  double resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace dunlin::e2e
