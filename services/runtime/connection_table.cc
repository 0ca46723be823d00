#include "services/runtime/connection_table.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include <cstring>

#include "services/base/check.h"

namespace dunlin {
namespace {

// 0 when `fd` is closed; sockets never have it.
ino_t InodeOf(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

PeerAddress PeerOf(const sockaddr_storage& address) {
  PeerAddress peer{};
  if (address.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(peer.data(), &ipv6.sin6_addr, peer.size());
  } else if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    peer[10] = peer[11] = 0xff;
    std::memcpy(peer.data() + 12, &ipv4.sin_addr, 4);
  }
  return peer;
}

ConnectionTable::Verdict ConnectionTable::Add(int fd, const PeerAddress& peer, TimePoint now) {
  Remove(fd);  // the number is in use again, so its last connection is gone
  Verdict verdict = Judge(peer);
  if (verdict != Verdict::kAdmitted && now - last_sweep_ >= kMinSweepPause) {
    Sweep(now);
    verdict = Judge(peer);
  }
  if (verdict != Verdict::kAdmitted) return verdict;
  connections_[fd] = {.inode = InodeOf(fd), .peer = peer};
  ++per_peer_[peer];
  return verdict;
}

void ConnectionTable::Remove(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Forget(found->second.peer);
  connections_.erase(found);
}

void ConnectionTable::Sweep(TimePoint now) {
  last_sweep_ = now;
  for (auto it = connections_.begin(); it != connections_.end();) {
    const auto current = it++;  // erasing keeps the other iterators
    if (InodeOf(current->first) == current->second.inode) continue;
    Forget(current->second.peer);
    connections_.erase(current);
  }
}

ConnectionTable::Verdict ConnectionTable::Judge(const PeerAddress& peer) const {
  if (connections_.size() >= limits_.total) return Verdict::kTooMany;
  const auto found = per_peer_.find(peer);
  const size_t count = found == per_peer_.end() ? 0 : found->second;
  return count >= limits_.per_peer ? Verdict::kTooManyFromPeer : Verdict::kAdmitted;
}

void ConnectionTable::Forget(const PeerAddress& peer) {
  const auto found = per_peer_.find(peer);
  CHECK(found != per_peer_.end() && found->second > 0);
  if (--found->second == 0) per_peer_.erase(found);
}

}  // namespace dunlin
