#include "services/replicator/coordinator/testing/etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "services/base/check.h"

extern char** environ;

namespace dunlin::replicator {
namespace {

// A port that nobody has now; both at once, so that they differ.
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
  for (const int fd : sockets) close(fd);
  return ports;
}

}  // namespace

EtcdServer::EtcdServer() {
  const std::vector<int> ports = FreePorts(2);
  endpoint_ = fmt::format("127.0.0.1:{}", ports[0]);
  peer_endpoint_ = fmt::format("127.0.0.1:{}", ports[1]);
  Start();
}

EtcdServer::~EtcdServer() { Kill(); }

void EtcdServer::Start() {
  CHECK(pid_ == -1);
  std::vector<std::string> arguments = {
      "/usr/bin/etcd",
      "--name=one",
      "--data-dir=" + directory_.path() + "/data",
      "--listen-client-urls=http://" + endpoint_,
      "--advertise-client-urls=http://" + endpoint_,
      "--listen-peer-urls=http://" + peer_endpoint_,
      "--initial-advertise-peer-urls=http://" + peer_endpoint_,
      "--initial-cluster=one=http://" + peer_endpoint_,
      "--log-level=error",
  };
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const std::string log = directory_.path() + "/log";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  CHECK(error == 0, "these tests need the Debian package etcd-server: run ./dev setup");
}

void EtcdServer::Kill() {
  if (pid_ == -1) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void EtcdServer::Freeze() { kill(pid_, SIGSTOP); }
void EtcdServer::Thaw() { kill(pid_, SIGCONT); }

}  // namespace dunlin::replicator
