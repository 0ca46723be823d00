// ConnectionTable: counts open connections, in all and per peer, without being told of their end.
//
// Whoever is given a descriptor closes it silently, so the table remembers each socket's inode
// number and compares. Single-threaded; no state on disk.

#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"

namespace dunlin {

// An IPv4 or IPv6 address without its port; IPv4 in its IPv6 form.
using PeerAddress = std::array<uint8_t, 16>;
PeerAddress PeerOf(const sockaddr_storage& address);

class ConnectionTable {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Limits {
    size_t total = 1;
    size_t per_peer = 1;
  };
  enum class Verdict { kAdmitted, kTooMany, kTooManyFromPeer };

  explicit ConnectionTable(Limits limits) : limits_(limits) {}

  // Takes the open socket `fd` into the count, unless a limit is reached. Before it refuses it
  // sweeps, but not more often than each kMinSweepPause, so that a flood stays cheap.
  Verdict Add(int fd, const PeerAddress& peer, TimePoint now);
  // `fd` is about to be closed by the caller.
  void Remove(int fd);
  // Forgets what others have closed: one fstat per connection.
  void Sweep(TimePoint now);

  size_t size() const { return connections_.size(); }

 private:
  static constexpr std::chrono::milliseconds kMinSweepPause{50};

  struct Connection {
    ino_t inode = 0;
    PeerAddress peer{};
  };

  Verdict Judge(const PeerAddress& peer) const;
  void Forget(const PeerAddress& peer);

  const Limits limits_;
  absl::flat_hash_map<int, Connection> connections_;
  absl::flat_hash_map<PeerAddress, size_t> per_peer_;
  TimePoint last_sweep_{};
};

}  // namespace dunlin
