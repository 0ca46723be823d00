// A bare gRPC server of the public API that answers every SendMessage at once with a plausible
// answer: what the framework alone costs. The other half of `unary-vs-echo`.

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"

namespace {

namespace v2 = apache::rocketmq::v2;

class EchoService final : public v2::MessagingService::CallbackService {
 public:
  EchoService() {
    answer_.mutable_status()->set_code(v2::OK);
    answer_.mutable_status()->set_message("OK");
    v2::SendResultEntry& entry = *answer_.add_entries();
    *entry.mutable_status() = answer_.status();
    entry.set_message_id("010242AC11000200FF0000000000000000");
    entry.set_offset(1'000'000);
  }

  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const v2::SendMessageRequest* /*request*/,
                                        v2::SendMessageResponse* response) override {
    *response = answer_;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  v2::SendMessageResponse answer_;
};

}  // namespace

int main() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  // As the server under test: a loopback needs no estimates of a distant network.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "echo: cannot listen on a loopback port\n");
    return 1;
  }
  std::printf("echo is ready on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  server->Shutdown();
  return 0;
}
