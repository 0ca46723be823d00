// A broker that stores nothing: answers every frame at once. For measuring the client alone.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/wire.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"

namespace dunlin {
namespace {

namespace v1 = dunlin::broker::v1;
using internal::ToBytes;
using internal::WireField;
using internal::WireReader;

constexpr uint32_t kQueues = 8;
constexpr uint64_t kCreditBytes = 16 << 20;
constexpr int kFrameBytes = 1 << 20;

class Publish final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Publish() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    const grpc::Slice slice = internal::OneSlice(request_);
    WireReader reader({reinterpret_cast<const char*>(slice.begin()), slice.size()});
    v1::PublishResponse response;
    for (WireField field; reader.Next(field);) Answer(field, response);
    answer_ = ToBytes(response);
    StartWrite(&answer_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  static void Answer(const WireField& field, v1::PublishResponse& response) {
    if (field.number == 1) {
      response.mutable_opened()->set_credit_bytes(kCreditBytes);
    } else if (field.number == 2) {
      v1::BindQueue bind;
      bind.ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size()));
      v1::Bound& bound = *response.add_bound();
      bound.set_binding(bind.binding());
      bound.mutable_status()->set_code(apache::rocketmq::v2::OK);
      bound.set_queues(kQueues);
    } else {
      v1::PublishAck& ack = *response.add_acks();
      WireReader frame(field.bytes);
      uint32_t count = 0;
      for (WireField part; frame.Next(part);) {
        if (part.number == 1) ack.set_binding(static_cast<uint32_t>(part.varint));
        if (part.number == 2) ack.set_first_sequence(part.varint);
        if (part.number == 3) ++count;
      }
      ack.set_count(count);
      ack.set_first_offset(static_cast<int64_t>(ack.first_sequence()) - 1);
    }
  }

  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

class Service final
    : public v1::StreamService::WithRawCallbackMethod_Publish<v1::StreamService::Service> {
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Publish(
      grpc::CallbackServerContext* /*context*/) override {
    return new class Publish();
  }
};

int Run(const char* address) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 * kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return EXIT_FAILURE;
  server->Wait();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) { return dunlin::Run(argc > 1 ? argv[1] : "127.0.0.1:8181"); }
