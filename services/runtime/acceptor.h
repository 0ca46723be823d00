// Acceptor: accepts connections on behalf of gRPC and sorts them by their first byte.
//
// gRPC 1.51's own listener stops accepting for ever after one bout of file-descriptor exhaustion,
// knows no limits, and cannot serve TLS and plaintext on one port. This one thread (`acceptor`)
// does: it accepts, enforces the limits, waits for the first byte without consuming it, and hands
// the socket over. It never blocks on a peer. Nothing survives the process.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "services/runtime/connection_table.h"
#include "services/runtime/host_port.h"
#include "services/runtime/listen.h"
#include "services/runtime/unique_fd.h"

namespace dunlin {

// Takes over a connected, non-blocking socket from which nothing was read. Called on the acceptor
// thread; must not block. An empty one refuses the kind.
using ConnectionHandler = std::function<void(UniqueFd socket)>;

struct AcceptorOptions {
  HostPort address;
  ConnectionTable::Limits limits;
  std::chrono::milliseconds first_byte_timeout{10'000};
};

// Connections since the start, and why some of them were closed.
struct AcceptorCounts {
  uint64_t open = 0;  // now; up to one sweep (2 s) old
  uint64_t accepted = 0;
  uint64_t over_limit = 0;
  uint64_t over_peer_limit = 0;
  uint64_t out_of_descriptors = 0;
  uint64_t silent = 0;
  uint64_t unknown_protocol = 0;
};

class Acceptor {
 public:
  // Listens; the kernel queues connections until Start. Errors: those of Listen (listen.h), and
  // RESOURCE_EXHAUSTED without descriptors.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(const AcceptorOptions& options);
  ~Acceptor();  // as Stop
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // REQUIRES: called once.
  void Start(ConnectionHandler plaintext, ConnectionHandler tls);
  // Closes the port and the connections not handed over; when it returns no handler is running.
  void Stop();

  uint16_t port() const { return sockets_.port; }
  AcceptorCounts counts() const;  // thread-safe
  // counts() that may be called even after the acceptor is gone.
  std::function<AcceptorCounts()> counter() const;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Deadline {
    int fd = -1;
    TimePoint at;
  };
  struct AtomicCounts {
    std::atomic<uint64_t> open{0}, accepted{0}, over_limit{0}, over_peer_limit{0},
        out_of_descriptors{0}, silent{0}, unknown_protocol{0};

    AcceptorCounts Read() const;
  };

  explicit Acceptor(const AcceptorOptions& options);

  void Run();
  int WaitMillis(TimePoint now) const;
  void Handle(int fd, TimePoint now);
  bool IsListener(int fd) const;
  void AcceptFrom(int listener, TimePoint now);
  void Admit(UniqueFd socket, const PeerAddress& peer, TimePoint now);
  void HandleAcceptError(int listener, int error, TimePoint now);
  bool TurnAwayWithSpare(int listener);
  void Pause(TimePoint until);
  void DoWhatIsDue(TimePoint now);
  // Hands `fd` over or closes it; false when its first byte is not there yet.
  bool Sort(int fd);
  void DropSilent(TimePoint now);
  // False when the kernel has no room for it.
  bool Watch(int fd);
  bool WatchListeners();
  void Unwatch(int fd);
  void LogRefusals(TimePoint now);

  const std::chrono::milliseconds first_byte_timeout_;
  ListenSockets sockets_;
  UniqueFd epoll_;
  UniqueFd wake_;   // eventfd
  UniqueFd spare_;  // closed to accept, and close, when there are no other descriptors
  ConnectionHandler plaintext_;
  ConnectionHandler tls_;
  const std::shared_ptr<AtomicCounts> counts_ = std::make_shared<AtomicCounts>();
  std::atomic<bool> stopping_{false};
  std::thread thread_;

  // Used by the thread only.
  ConnectionTable table_;
  absl::flat_hash_map<int, TimePoint> waiting_;  // for their first byte, and until when
  std::deque<Deadline> deadlines_;  // in order; also of descriptors that no longer wait
  TimePoint paused_until_{};        // no accepting before; the epoch: not paused
  TimePoint next_sweep_{};
  TimePoint next_log_{};
  uint64_t logged_refusals_ = 0;
};

}  // namespace dunlin
