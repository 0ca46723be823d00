#include "services/runtime/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin {
namespace {

using std::chrono::milliseconds;

constexpr uint8_t kTlsHandshake = 0x16;
// Of "PRI * HTTP/2.0", with which every HTTP/2 client begins.
constexpr uint8_t kHttp2 = 'P';

// Accepted in one go before others get their turn.
constexpr int kAcceptBurst = 64;
constexpr milliseconds kSweepInterval{2000};
constexpr milliseconds kLogInterval{5000};
// After an accept that failed for want of kernel memory, or of a spare descriptor.
constexpr milliseconds kAcceptPause{20};

UniqueFd OpenSpare() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

void SetNoDelay(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
    log::Debug("TCP_NODELAY: {}", std::strerror(errno));  // slower, not wrong
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(const AcceptorOptions& options) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(options));
  ASSIGN_OR_RETURN(acceptor->sockets_, Listen(options.address));
  acceptor->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  acceptor->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  acceptor->spare_ = OpenSpare();
  if (!acceptor->epoll_.ok() || !acceptor->wake_.ok() || !acceptor->spare_.ok()) {
    return absl::ErrnoToStatus(errno, "cannot make the acceptor");
  }
  return acceptor;
}

Acceptor::Acceptor(const AcceptorOptions& options)
    : first_byte_timeout_(options.first_byte_timeout), table_(options.limits) {}

Acceptor::~Acceptor() { Stop(); }

void Acceptor::Start(ConnectionHandler plaintext, ConnectionHandler tls) {
  CHECK(!thread_.joinable());
  plaintext_ = std::move(plaintext);
  tls_ = std::move(tls);
  CHECK(Watch(wake_.get()) && WatchListeners(), std::strerror(errno));
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    stopping_ = true;
    CHECK(eventfd_write(wake_.get(), 1) == 0);
    thread_.join();
  }
  for (const auto& [fd, deadline] : waiting_) close(fd);
  waiting_.clear();
  sockets_.fds.clear();
}

AcceptorCounts Acceptor::AtomicCounts::Read() const {
  return {.open = open,
          .accepted = accepted,
          .over_limit = over_limit,
          .over_peer_limit = over_peer_limit,
          .out_of_descriptors = out_of_descriptors,
          .silent = silent,
          .unknown_protocol = unknown_protocol};
}

AcceptorCounts Acceptor::counts() const { return counts_->Read(); }

std::function<AcceptorCounts()> Acceptor::counter() const {
  return [counts = counts_] { return counts->Read(); };
}

void Acceptor::Run() {
  pthread_setname_np(pthread_self(), "acceptor");
  std::array<epoll_event, 64> events;
  while (!stopping_) {
    const int timeout = WaitMillis(std::chrono::steady_clock::now());
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), timeout);
    CHECK(count >= 0 || errno == EINTR, std::strerror(errno));
    const TimePoint now = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) Handle(events[static_cast<size_t>(i)].data.fd, now);
    DoWhatIsDue(now);
    counts_->open = table_.size();
  }
}

int Acceptor::WaitMillis(TimePoint now) const {
  // Nothing can be due while nobody is connected: then the thread sleeps until somebody knocks.
  TimePoint due = TimePoint::max();
  if (table_.size() > 0) due = next_sweep_;
  if (!deadlines_.empty()) due = std::min(due, deadlines_.front().at);
  if (paused_until_ != TimePoint()) due = std::min(due, paused_until_);
  if (due == TimePoint::max()) return -1;
  const auto wait = std::chrono::ceil<milliseconds>(due - now);
  return static_cast<int>(std::max(wait, milliseconds(0)).count());
}

void Acceptor::Handle(int fd, TimePoint now) {
  if (fd == wake_.get()) return;  // Run looks at stopping_
  if (IsListener(fd)) {
    if (paused_until_ == TimePoint()) AcceptFrom(fd, now);
  } else if (waiting_.contains(fd) && Sort(fd)) {
    waiting_.erase(fd);
  }
}

bool Acceptor::IsListener(int fd) const {
  return std::any_of(sockets_.fds.begin(), sockets_.fds.end(),
                     [fd](const UniqueFd& listener) { return listener.get() == fd; });
}

void Acceptor::AcceptFrom(int listener, TimePoint now) {
  for (int i = 0; i < kAcceptBurst; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    UniqueFd socket(accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.ok()) {
      Admit(std::move(socket), PeerOf(address), now);
      continue;
    }
    if (errno == EAGAIN) return;
    HandleAcceptError(listener, errno, now);
    if (paused_until_ != TimePoint()) return;
  }
}

void Acceptor::Admit(UniqueFd socket, const PeerAddress& peer, TimePoint now) {
  ++counts_->accepted;
  switch (table_.Add(socket.get(), peer, now)) {
    case ConnectionTable::Verdict::kAdmitted:
      break;
    case ConnectionTable::Verdict::kTooMany:
      ++counts_->over_limit;
      return;
    case ConnectionTable::Verdict::kTooManyFromPeer:
      ++counts_->over_peer_limit;
      return;
  }
  const int fd = socket.Release();
  SetNoDelay(fd);
  if (!Watch(fd)) {
    ++counts_->out_of_descriptors;  // the user's limit of watches (fs.epoll.max_user_watches)
    table_.Remove(fd);
    close(fd);
    return;
  }
  if (Sort(fd)) return;
  const TimePoint deadline = now + first_byte_timeout_;
  waiting_[fd] = deadline;
  deadlines_.push_back({.fd = fd, .at = deadline});
}

void Acceptor::HandleAcceptError(int listener, int error, TimePoint now) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:  // the peer was faster
    case EPROTO:
    case EPERM:  // a firewall's word
      return;
    case EMFILE:
    case ENFILE:
      if (TurnAwayWithSpare(listener)) {
        ++counts_->out_of_descriptors;
      } else {
        Pause(now + kAcceptPause);  // also when nobody waits: accept4 says EMFILE before EAGAIN
      }
      return;
    default:  // ENOBUFS, ENOMEM; others would be new to us
      log::Warning("accept4: {}; trying again in {} ms", std::strerror(error),
                   kAcceptPause.count());
      Pause(now + kAcceptPause);
  }
}

// Without it the connection would stay in the kernel's queue: its client would hang instead of
// trying elsewhere, and epoll would report the listener without end.
bool Acceptor::TurnAwayWithSpare(int listener) {
  spare_.Reset();
  UniqueFd turned_away(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  const bool closed_one = turned_away.ok();
  turned_away.Reset();
  spare_ = OpenSpare();
  return closed_one;
}

void Acceptor::Pause(TimePoint until) {
  paused_until_ = until;
  for (const UniqueFd& listener : sockets_.fds) Unwatch(listener.get());
}

void Acceptor::DoWhatIsDue(TimePoint now) {
  if (paused_until_ != TimePoint() && now >= paused_until_) {
    if (!spare_.ok()) spare_ = OpenSpare();
    paused_until_ = WatchListeners() ? TimePoint() : now + kAcceptPause;
  }
  DropSilent(now);
  if (now >= next_sweep_) {
    table_.Sweep(now);
    next_sweep_ = now + kSweepInterval;
  }
  LogRefusals(now);
}

bool Acceptor::Sort(int fd) {
  uint8_t first = 0;
  const ssize_t got = recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  const ConnectionHandler* handler = nullptr;
  if (got == 1 && first == kTlsHandshake) handler = &tls_;
  if (got == 1 && first == kHttp2) handler = &plaintext_;
  Unwatch(fd);
  if (handler != nullptr && *handler) {
    (*handler)(UniqueFd(fd));
  } else {
    if (got == 1) ++counts_->unknown_protocol;
    table_.Remove(fd);
    close(fd);
  }
  return true;
}

void Acceptor::DropSilent(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.front().at <= now) {
    const Deadline due = deadlines_.front();
    deadlines_.pop_front();
    const auto found = waiting_.find(due.fd);
    // The number may belong to a later connection by now.
    if (found == waiting_.end() || found->second != due.at) continue;
    waiting_.erase(found);
    ++counts_->silent;
    table_.Remove(due.fd);
    close(due.fd);  // leaves epoll by itself
  }
}

bool Acceptor::Watch(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST;
}

bool Acceptor::WatchListeners() {
  return std::all_of(sockets_.fds.begin(), sockets_.fds.end(),
                     [this](const UniqueFd& listener) { return Watch(listener.get()); });
}

void Acceptor::Unwatch(int fd) {
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0 || errno == ENOENT,
        std::strerror(errno));
}

void Acceptor::LogRefusals(TimePoint now) {
  if (now < next_log_) return;
  const AcceptorCounts counts = this->counts();
  const uint64_t refusals =
      counts.over_limit + counts.over_peer_limit + counts.out_of_descriptors + counts.silent;
  if (refusals == logged_refusals_) return;
  logged_refusals_ = refusals;
  next_log_ = now + kLogInterval;
  log::Warning(
      "connections closed so far: {} over the limit, {} over the limit of one peer, {} for want of "
      "file descriptors, {} silent",
      counts.over_limit, counts.over_peer_limit, counts.out_of_descriptors, counts.silent);
}

}  // namespace dunlin
