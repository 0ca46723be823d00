#include "services/replicator/transport/callback_threads.h"

#include <grpcpp/generic/generic_stub.h>

namespace dunlin::replicator {

// Without credentials there is a channel, on which every call fails at once. The call is what makes
// it use the threads.
CallbackThreads::CallbackThreads() : channel_(grpc::CreateChannel("", nullptr)) {
  const grpc::Slice nothing;
  request_ = grpc::ByteBuffer(&nothing, 1);
  grpc::GenericStub(channel_).UnaryCall(
      &context_, "/none", grpc::StubOptions(), &request_, &response_,
      [this](const grpc::Status& /*status*/) { failed_.Notify(); });
}

CallbackThreads::~CallbackThreads() { failed_.WaitForNotification(); }

}  // namespace dunlin::replicator
