// EchoService answers every call with its request; Echo calls it. For tests of the listener.

#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <string>

namespace dunlin {

// gRPC orders the threads that call a reactor, but where ThreadSanitizer cannot see it: an atomic
// that each of them touches shows it.
inline std::atomic<uint64_t> echo_steps = 0;

class EchoReactor final : public grpc::ServerGenericBidiReactor {
 public:
  EchoReactor() {
    ++echo_steps;
    StartRead(&buffer_);
  }
  void OnReadDone(bool ok) override {
    ++echo_steps;
    if (ok) {
      StartWriteAndFinish(&buffer_, {}, grpc::Status::OK);
    } else {
      Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no request"));
    }
  }
  void OnDone() override {
    ++echo_steps;
    delete this;
  }

 private:
  grpc::ByteBuffer buffer_;
};

class EchoService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new EchoReactor;
  }
};

// A connection of its own, not shared with other channels to the address.
inline std::shared_ptr<grpc::Channel> OwnChannel(
    const std::string& address, std::shared_ptr<grpc::ChannelCredentials> credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, std::move(credentials), arguments);
}

struct Reply {
  grpc::Status status;
  std::string body;
};

// One call with `request` as its raw bytes.
inline Reply Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                  const std::string& request,
                  std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  const grpc::Slice slice(request);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &sent, &received,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  Reply reply{.status = done.get_future().get(), .body = {}};
  grpc::Slice whole;
  if (reply.status.ok() && received.DumpToSingleSlice(&whole).ok()) {
    reply.body.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  return reply;
}

inline Reply Echo(const std::shared_ptr<grpc::Channel>& channel, const std::string& request,
                  std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
  return Call(channel, "/test.Echo/Echo", request, timeout);
}

}  // namespace dunlin
