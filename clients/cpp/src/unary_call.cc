#include "clients/cpp/src/unary_call.h"

#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <optional>

#include "clients/cpp/src/control_message.h"
#include "services/base/mutex.h"

namespace dunlin::internal {
namespace {

// One unary call. Shared by who waits for it and by gRPC, which may be in it a little longer.
struct UnaryCall {
  // It holds the channel, which must not go on one of gRPC's threads (byte_stream.h): it ends while
  // the caller, who holds the channel as well, still waits.
  std::optional<grpc::ClientContext> context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  Mutex mutex;
  CondVar changed;
  bool done ABSL_GUARDED_BY(mutex) = false;
  grpc::Status status ABSL_GUARDED_BY(mutex);
};

}  // namespace

grpc::Status Call(const Connection& connection, const std::string& method,
                  const google::protobuf::MessageLite& request, std::chrono::milliseconds timeout,
                  google::protobuf::MessageLite& response) {
  const auto call = std::make_shared<UnaryCall>();
  call->context.emplace();
  connection.Identify(*call->context);
  call->context->set_deadline(std::chrono::system_clock::now() + timeout);
  call->request = ToBytes(request);
  grpc::GenericStub(connection.channel())
      .UnaryCall(&*call->context, method, {}, &call->request, &call->response,
                 [call](const grpc::Status& status) {
                   MutexLock lock(call->mutex);
                   call->context.reset();
                   call->status = status;
                   call->done = true;
                   call->changed.Signal();
                 });
  MutexLock lock(call->mutex);
  while (!call->done) call->changed.Wait(call->mutex);
  if (call->status.ok() && !FromBytes(call->response, response)) {
    return {grpc::StatusCode::INTERNAL, "the answer of the broker cannot be read"};
  }
  return call->status;
}

}  // namespace dunlin::internal
