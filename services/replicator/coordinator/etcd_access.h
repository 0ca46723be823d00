// EtcdAccess: how a client gets into an etcd that does not take everybody: TLS, a user. The
// password is read once, at the start; PEM files that are replaced are picked up by the next
// connection.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/replicator/coordinator/etcd_client.h"

namespace dunlin::replicator {

// Paths; empty: none.
struct EtcdAccessFiles {
  std::string user;  // a name, not a file
  std::string password;
  std::string ca;           // PEM; with it TLS is spoken
  std::string certificate;  // PEM, for an etcd that asks its clients for one
  std::string private_key;
};

struct EtcdAccess {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  EtcdLogin login;
};

// Called once in a program: gRPC 1.51 never frees what TLS is told by.
// INVALID_ARGUMENT when one is missing that another needs; the message names the settings.
absl::StatusOr<EtcdAccess> ReadEtcdAccess(const EtcdAccessFiles& paths, FileSystem& files);

}  // namespace dunlin::replicator
