#include "services/base/testing/free_ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "services/base/check.h"

namespace dunlin {

std::vector<int> FreePorts(int count) {
  std::vector<int> sockets;
  std::vector<int> ports;
  for (int i = 0; i < count; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
    CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    sockets.push_back(fd);
    ports.push_back(ntohs(address.sin_port));
  }
  // All are held until the last is known.
  for (const int fd : sockets) close(fd);
  return ports;
}

std::string FreeAddress() { return "127.0.0.1:" + std::to_string(FreePorts(1)[0]); }

}  // namespace dunlin
