// PortMapping: a loopback port whose connections come out at another one, as a router maps ports.

#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "services/base/mutex.h"

namespace dunlin::e2e {

class PortMapping {
 public:
  // `target`: host:port, IPv4. Connects to it once for each connection that comes.
  explicit PortMapping(const std::string& target);
  // Breaks all connections.
  ~PortMapping();
  PortMapping(const PortMapping&) = delete;
  PortMapping& operator=(const PortMapping&) = delete;

  // From now on nothing gets through, and nobody is told: not by those who connect, either.
  void Hang() { hangs_.store(true, std::memory_order_relaxed); }

  const std::string& address() const { return address_; }  // 127.0.0.1:port
  int port() const { return port_; }

 private:
  struct Connection;

  void Accept() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string target_;
  std::atomic<bool> hangs_{false};
  int listening_ = -1;
  int port_ = 0;
  std::string address_;
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dunlin::e2e
