// ReceiveCall: one ReceiveMessage of apache.rocketmq.v2, which is answered by a stream.
//
// Must live until it has ended. Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class ReceiveCall final : public StreamOwner {
 public:
  ReceiveCall(const Connection& connection,
              const apache::rocketmq::v2::ReceiveMessageRequest& request);

  // Until it has ended, which it is made to at `deadline`. Not from one of gRPC's threads. No
  // message is OK.
  absl::Status Wait(SteadyTime deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);
  // REQUIRES: it has ended.
  std::vector<apache::rocketmq::v2::Message> TakeMessages() ABSL_LOCKS_EXCLUDED(mutex_);

  void OnRead(grpc::ByteBuffer& bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  grpc::Status ended_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<apache::rocketmq::v2::Message> messages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::internal
