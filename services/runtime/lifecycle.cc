#include "services/runtime/lifecycle.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "services/base/check.h"
#include "services/base/log.h"

namespace dunlin {
namespace {

// More would only make programs slow that walk through all descriptors.
constexpr rlim_t kMostOpenFiles = 1 << 20;

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

StopSignal::StopSignal() {
  const sigset_t set = StopSignals();
  CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  request_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(signals_.ok() && request_.ok(), std::strerror(errno));
}

std::string_view StopSignal::Wait() {
  std::array<pollfd, 2> sources = {{
      {.fd = signals_.get(), .events = POLLIN, .revents = 0},
      {.fd = request_.get(), .events = POLLIN, .revents = 0},
  }};
  while (poll(sources.data(), sources.size(), -1) < 0) {
    CHECK(errno == EINTR, std::strerror(errno));
  }
  signalfd_siginfo info{};
  const bool by_signal = read(signals_.get(), &info, sizeof(info)) == sizeof(info);
  const sigset_t set = StopSignals();
  CHECK(pthread_sigmask(SIG_UNBLOCK, &set, nullptr) == 0);
  if (!by_signal) return "";
  return info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM";
}

void StopSignal::Request() { CHECK(eventfd_write(request_.get(), 1) == 0, std::strerror(errno)); }

void AnnounceReady(std::string_view program, std::string_view address,
                   std::string_view metrics_address) {
  const std::string metrics =
      metrics_address.empty() ? "" : fmt::format(", metrics on {}", metrics_address);
  const std::string line =
      fmt::format("{} is ready on {}{}, pid {}\n", program, address, metrics, getpid());
  const bool printed =
      std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fflush(stdout) == 0;
  if (!printed) log::Warning("standard output: {}", std::strerror(errno));  // nobody listens
}

void RaiseOpenFileLimit() {
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0, std::strerror(errno));
  const rlim_t wanted = std::min(limit.rlim_max, kMostOpenFiles);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log::Warning("cannot raise the limit of open files to {}: {}", wanted, std::strerror(errno));
  }
}

}  // namespace dunlin
