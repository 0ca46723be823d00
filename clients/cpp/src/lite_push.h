// LitePush: threads that receive messages of lightweight topics and hand them to a listener.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "dunlin/lite_push_consumer.h"

#include "clients/cpp/src/lite_core.h"

namespace dunlin::internal {

class LitePush {
 public:
  LitePush(std::shared_ptr<Connection> connection, const LitePushConsumerOptions& options);
  ~LitePush();

  LiteCore& core() { return core_; }
  void Close();

 private:
  void Loop();
  void Consume(std::span<const ReceivedLiteMessage> messages);
  // Messages of one lightweight topic.
  void ConsumeRun(std::span<const ReceivedLiteMessage> run);
  void Check(const absl::Status& status);

  const LitePushConsumerOptions options_;
  LiteCore core_;
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::internal
