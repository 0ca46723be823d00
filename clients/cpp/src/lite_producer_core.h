// LiteProducerCore: messages of lightweight topics over SendMessage of apache.rocketmq.v2.
//
// Thread-safe.

#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "dunlin/lite_producer.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/public_message.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class LiteProducerCore {
 public:
  LiteProducerCore(std::shared_ptr<Connection> connection, const LiteProducerOptions& options)
      : connection_(std::move(connection)), options_(options) {}

  absl::StatusOr<std::vector<LiteReceipt>> Send(std::span<const Message> messages)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Tried again until it is through, or refused for good, or the time is over.
  absl::Status SendRequest(const apache::rocketmq::v2::SendMessageRequest& request,
                           apache::rocketmq::v2::SendMessageResponse& response)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns after `pause`, or at once when it is closed. Whether it is.
  bool Pause(std::chrono::milliseconds pause) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<Connection> connection_;
  const LiteProducerOptions options_;
  MessageIds ids_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
