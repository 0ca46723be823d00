// LitePushConsumer: hands the messages of the lightweight topics that it subscribes to to a
// listener on threads of its own (docs/lite.md).
//
// Those of one lightweight topic come in order, those of different ones side by side. While a
// listener works, the broker extends the leases. What fails comes again after the delay that the
// group's retry policy has for the attempt, and holds up its lightweight topic until then.
// Thread-safe. The destructor closes.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/lite_message.h"
#include "dunlin/lite_options.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/push_consumer.h"

namespace dunlin {

struct LitePushConsumerOptions : LiteOptions {
  // Receives, and so listeners, at a time: 1 or more.
  int threads = 4;
  // kRetry, and those behind it in the same batch of a lightweight topic come again with it.
  std::function<ConsumeResult(const ReceivedLiteMessage&)> listener;
};

namespace internal {
class LitePush;
}

class LitePushConsumer {
 public:
  explicit LitePushConsumer(std::shared_ptr<internal::LitePush> push);
  LitePushConsumer(LitePushConsumer&&) noexcept;
  LitePushConsumer& operator=(LitePushConsumer&&) noexcept;
  ~LitePushConsumer();

  // As of LiteSimpleConsumer.
  absl::Status Subscribe(std::string_view lite_topic, std::optional<StartAt> start = std::nullopt);
  absl::Status Unsubscribe(std::string_view lite_topic);
  std::vector<std::string> subscriptions() const;

  // Waits for the listeners that are running. Not from a listener. Idempotent.
  void Close();

 private:
  std::shared_ptr<internal::LitePush> push_;
};

}  // namespace dunlin
