// PushCore: the threads of a PushConsumer.

#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "dunlin/push_consumer.h"

#include "clients/cpp/src/group_core.h"
#include "clients/cpp/src/lease_keeper.h"

namespace dunlin::internal {

class PushCore {
 public:
  virtual ~PushCore() = default;

  // Subscribes, then starts the threads. Errors as of SimpleConsumer::Subscribe.
  virtual absl::Status Start() = 0;
  // Idempotent.
  virtual void Close() = 0;
};

// As a member of a group, which gets each message once.
class GroupPush final : public PushCore {
 public:
  GroupPush(const std::shared_ptr<Connection>& connection, const PushConsumerOptions& options);
  ~GroupPush() override;

  absl::Status Start() override;
  void Close() override;

 private:
  void Loop();
  // False: closed.
  bool Step();
  void Consume(const std::vector<ReceivedMessage>& messages);

  const PushConsumerOptions options_;
  GroupCore group_;
  LeaseKeeper keeper_;
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::internal
