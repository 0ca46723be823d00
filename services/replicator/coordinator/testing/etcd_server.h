// EtcdServer: a real etcd of one member, on free ports and a directory of its own.
//
// Killed with the object. One thread at a time.

#pragma once

#include <sys/types.h>

#include <string>

#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {

class EtcdServer {
 public:
  // PEM files; with them it speaks TLS alone, and asks its clients for a certificate signed by
  // `ca`.
  struct Tls {
    std::string certificate;
    std::string private_key;
    std::string ca;
  };
  EtcdServer() : EtcdServer(Tls()) {}
  explicit EtcdServer(Tls tls);  // started; it may take a moment until it answers
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  const std::string& endpoint() const { return endpoint_; }  // 127.0.0.1:port

  // kill -9; what it has acknowledged stays in its directory.
  void Kill();
  void Start();
  // SIGSTOP and SIGCONT.
  void Freeze();
  void Thaw();

 private:
  const Tls tls_;
  TempDir directory_;
  std::string endpoint_;
  std::string peer_endpoint_;
  pid_t pid_ = -1;
};

}  // namespace dunlin::replicator
