#include "services/replicator/coordinator/testing/etcd_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "services/base/check.h"
#include "services/base/testing/free_ports.h"

extern char** environ;

namespace dunlin::replicator {
EtcdServer::EtcdServer(Tls tls) : tls_(std::move(tls)) {
  const std::vector<int> ports = FreePorts(2);
  endpoint_ = fmt::format("127.0.0.1:{}", ports[0]);
  peer_endpoint_ = fmt::format("127.0.0.1:{}", ports[1]);
  Start();
}

EtcdServer::~EtcdServer() { Kill(); }

void EtcdServer::Start() {
  CHECK(pid_ == -1);
  const std::string client_url =
      fmt::format("{}://{}", tls_.certificate.empty() ? "http" : "https", endpoint_);
  std::vector<std::string> arguments = {
      "/usr/bin/etcd",
      "--name=one",
      "--data-dir=" + directory_.path() + "/data",
      "--listen-client-urls=" + client_url,
      "--advertise-client-urls=" + client_url,
      "--listen-peer-urls=http://" + peer_endpoint_,
      "--initial-advertise-peer-urls=http://" + peer_endpoint_,
      "--initial-cluster=one=http://" + peer_endpoint_,
      "--log-level=error",
  };
  if (!tls_.certificate.empty()) {
    arguments.push_back("--cert-file=" + tls_.certificate);
    arguments.push_back("--key-file=" + tls_.private_key);
    arguments.push_back("--trusted-ca-file=" + tls_.ca);
    arguments.push_back("--client-cert-auth");
  }
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
