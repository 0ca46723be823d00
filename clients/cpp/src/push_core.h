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
  PushCore(const std::shared_ptr<Connection>& connection, const PushConsumerOptions& options);
  ~PushCore();

  // Subscribes, then starts the threads. Errors as of SimpleConsumer::Subscribe.
  absl::Status Start();
  void Close();

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
