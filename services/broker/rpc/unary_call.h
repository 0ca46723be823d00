// AnswerUnary: a unary call of small messages. It is parsed here and not by gRPC, so that its size
// is looked at before a message, which takes many times as much memory, is made of it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"

#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {

// Deletes itself when gRPC is done with it.
template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(grpc::ByteBuffer& bytes) : bytes_(bytes) {}

  Request& request() { return request_; }
  Response& response() { return response_; }

  // Answers with gRPC status OK: the verdict is in the response. To be called once, on any thread.
  void Done() {
    bytes_ = Serialize(response_);
    Finish(grpc::Status::OK);
  }
  void Done(const absl::Status& status) {
    *response_.mutable_status() = ToWire(status);
    Done();
  }

  // With what another server has answered.
  void Answer(const grpc::ByteBuffer& answer) {
    bytes_ = answer;
    Finish(grpc::Status::OK);
  }

  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer& bytes_;
  Request request_;
  Response response_;
};

// `handler` gets a UnaryCall<Request, Response>& and sees to it that Done is called.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerUnary(const grpc::ByteBuffer& request, grpc::ByteBuffer& response,
                                      Handler handler) {
  auto* call = new UnaryCall<Request, Response>(response);
  if (const absl::Status size = CheckRequestSize(request); !size.ok()) {
    call->Done(size);
  } else if (const absl::Status parsed = Parse(request, call->request()); !parsed.ok()) {
    // What gRPC itself answers to bytes that are no message.
    call->Finish(grpc::Status(grpc::StatusCode::INTERNAL, std::string(parsed.message())));
  } else {
    handler(*call);
  }
  return call;
}

}  // namespace dunlin::broker
