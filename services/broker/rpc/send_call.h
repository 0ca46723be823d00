// SendCall: one SendMessage, from its bytes to the answer; appends and waits without a thread.

#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"

#include "services/base/strong_int.h"
#include "services/broker/admission/intake.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/wire/send_scanner.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// Owns itself until it has answered. Not a reactor of its own: gRPC hands the end of a call to
// another thread for those, which costs an eighth of the server.
class SendCall final : public store::CommitWaiter {
 public:
  static grpc::ServerUnaryReactor* Start(ServiceContext& services,
                                         grpc::CallbackServerContext& context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer& response);

  // The batch is durable, or never will be. On the committer thread.
  void OnCommitted(const absl::Status& status) override;

 private:
  SendCall(ServiceContext& services, grpc::CallbackServerContext& context,
           const grpc::ByteBuffer& request, grpc::ByteBuffer& response);

  void Run();
  // To a broker that has the topic, if there is one; else `refusal`, which says that it is not
  // here.
  void PassOn(const absl::Status& refusal);
  // Nobody waits for the answer any more.
  bool Abandoned() const;
  // Everything the topic has a say in, then the append.
  absl::Status Append(const Topic& topic);
  // The same for messages of lightweight topics.
  absl::Status AppendLite(const Topic& topic);
  void Refuse(const absl::Status& status);
  // The last that is done with the call: deletes it.
  void Finish(const grpc::Status& status);

  ServiceContext& services_;
  grpc::CallbackServerContext& context_;
  grpc::ServerUnaryReactor* const reactor_;  // gRPC's
  grpc::ByteBuffer& response_;
  const grpc::ByteBuffer& received_;
  std::optional<FlatBuffer> request_;
  Intake::Place place_;
  RawSend send_;
  TopicId topic_;
  absl::InlinedVector<store::Appended, 1> appended_;
  size_t first_message_ = 0;  // of them; before it stands what messages rely on
  // Which of them have a place in their queue, and which wait for their time or their transaction.
  enum class Stored : uint8_t { kPlaced, kParked, kPrepared };
  absl::InlinedVector<Stored, 1> stored_;
  absl::InlinedVector<uint32_t, 1> queues_;
  uint32_t client_ = 0;  // in the trace
};

}  // namespace dunlin::broker
