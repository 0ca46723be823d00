#include "e2e/harness/port_mapping.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>

#include "services/base/check.h"
#include "services/base/testing/free_ports.h"
#include "services/runtime/host_port.h"

namespace dunlin::e2e {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Connect(const std::string& target) {
  const std::optional<HostPort> parsed = ParseHostPort(target);
  CHECK(parsed.has_value(), target);
  sockaddr_in address = Loopback(parsed->port);
  CHECK(inet_pton(AF_INET, parsed->host.c_str(), &address.sin_addr) == 1, target);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

// Until one of the two ends, and then both.
void Copy(int from, int to, const std::atomic<bool>& hangs) {
  std::array<char, 65'536> buffer{};
  for (;;) {
    const ssize_t got = recv(from, buffer.data(), buffer.size(), 0);
    if (got > 0 && hangs.load(std::memory_order_relaxed)) continue;
    ssize_t sent = 0;
    while (got > 0 && sent < got) {
      const ssize_t now =
          send(to, buffer.data() + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
      if (now <= 0) break;
      sent += now;
    }
    if (got <= 0 || sent < got) break;
  }
  shutdown(from, SHUT_RDWR);
  shutdown(to, SHUT_RDWR);
}

}  // namespace

struct PortMapping::Connection {
  Connection(int taken, int made, const std::atomic<bool>& hangs)
      : client(taken),
        server(made),
        there([taken, made, &hangs] { Copy(taken, made, hangs); }),
        back([taken, made, &hangs] { Copy(made, taken, hangs); }) {}
  ~Connection() {
    shutdown(client, SHUT_RDWR);
    shutdown(server, SHUT_RDWR);
    there.join();
    back.join();
    close(client);
    close(server);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const int client;
  const int server;
  std::thread there;
  std::thread back;
};

PortMapping::PortMapping(const std::string& target) : target_(target), port_(FreePorts(1)[0]) {
  address_ = "127.0.0.1:" + std::to_string(port_);
  listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(port_);
  CHECK(listening_ >= 0 &&
        bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        listen(listening_, SOMAXCONN) == 0);
  thread_ = std::thread([this] { Accept(); });
}

void PortMapping::Accept() {
  for (;;) {
    const int client = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = Connect(target_);
    MutexLock lock(mutex_);
    if (server < 0 || closed_) {
      close(client);
      if (server >= 0) close(server);
      continue;
    }
    connections_.push_back(std::make_unique<Connection>(client, server, hangs_));
  }
}

PortMapping::~PortMapping() {
  std::list<std::unique_ptr<Connection>> connections;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    connections.swap(connections_);
  }
  connections.clear();
  shutdown(listening_, SHUT_RDWR);
  thread_.join();
  close(listening_);
}

}  // namespace dunlin::e2e
