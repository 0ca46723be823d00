// PeerCredentials: how a program connects to other members, brokers and name services.

#pragma once

#include <grpcpp/security/credentials.h>

#include <memory>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"

namespace dunlin {

// As peer_tls says; for any number of channels, which may outlive what is returned. A changed file
// counts for new connections. INVALID_ARGUMENT: the file holds no certificates; errors of the file.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> PeerCredentials(
    const config::v1::PeerTlsConfig& config, FileSystem& files);

}  // namespace dunlin
