#include "services/base/testing/free_ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "services/base/check.h"

namespace dunlin {
namespace {

constexpr int kFirst = 10'000;

// What the kernel takes for the near end of connections begins there: such a port could be gone by
// the time that a server wants it.
int FirstEphemeral() {
  int first = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first;
  CHECK(first > kFirst, "net.ipv4.ip_local_port_range leaves no ports for servers");
  return first;
}

int SomePort(int end) {
  std::random_device random;
  return std::uniform_int_distribution<int>(kFirst, end - 1)(random);
}

bool IsFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  CHECK(fd >= 0);
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return free;
}

}  // namespace

std::vector<int> FreePorts(int count) {
  static const int end = FirstEphemeral();
  // Tests that run side by side begin at different ones, and none is given out twice.
  static int next = SomePort(end);
  std::vector<int> ports;
  for (int tried = 0; ports.size() < static_cast<size_t>(count); ++tried) {
    CHECK(tried < end - kFirst, "no port is free");
    const int port = next;
    next = port + 1 < end ? port + 1 : kFirst;
    if (IsFree(port)) ports.push_back(port);
  }
  return ports;
}

std::string FreeAddress() { return "127.0.0.1:" + std::to_string(FreePorts(1)[0]); }

}  // namespace dunlin
