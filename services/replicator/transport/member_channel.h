// MemberChannel: a connection to another member of the group.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace dunlin::replicator {

// Of its own, not shared with others to the same address. Without credentials: plaintext.
std::shared_ptr<grpc::Channel> MemberChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

}  // namespace dunlin::replicator
