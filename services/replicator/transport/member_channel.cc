#include "services/replicator/transport/member_channel.h"

#include "services/store/log/record.h"

namespace dunlin::replicator {
namespace {

// The largest frame is one record; what goes with it is small.
constexpr int kMaxMessageBytes = static_cast<int>(store::kMaxRecordLength) + (64 << 10);
// As large as the server's: fewer frames of HTTP/2 for those of ours.
constexpr int kMaxHttpFrameBytes = 1 << 20;

}  // namespace

std::shared_ptr<grpc::Channel> MemberChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxHttpFrameBytes);
  return grpc::CreateCustomChannel(
      address, credentials != nullptr ? credentials : grpc::InsecureChannelCredentials(),
      arguments);
}

}  // namespace dunlin::replicator
