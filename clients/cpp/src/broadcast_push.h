// BroadcastPush: a PushConsumer that gets every message, whoever else does.
//
// It reads all queues by offset on one thread, so that each queue comes in its order. With a name
// it commits what its listener was done with, in a group of its own.

#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "clients/cpp/src/pull_core.h"
#include "clients/cpp/src/push_core.h"

namespace dunlin::internal {

class BroadcastPush final : public PushCore {
 public:
  // REQUIRES: options.broadcasting.
  BroadcastPush(const std::shared_ptr<Connection>& connection, const PushConsumerOptions& options);
  ~BroadcastPush() override;

  absl::Status Start() override;
  void Close() override;

 private:
  void Loop();
  void Consume(const MessageBatch& batch);
  void Report(const absl::Status& status) const;

  const PushConsumerOptions options_;
  PullCore pull_;
  std::atomic<bool> closing_{false};
  std::thread thread_;
};

}  // namespace dunlin::internal
