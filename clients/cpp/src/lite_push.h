// LitePush: threads that receive messages of lightweight topics and hand them to a listener.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
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
  // Until the broker has heard it, or it is of no use any more, or the consumer is closed: the
  // broker extends the lease of what is not settled for as long as this client lives.
  void Insist(absl::FunctionRef<absl::Status()> settle);

  const LitePushConsumerOptions options_;
  LiteCore core_;
  std::atomic<bool> turned_away_{false};  // and told so
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::internal
