#include "dunlin/client.h"

#include <utility>

#include "dunlin/lite_producer.h"
#include "dunlin/lite_push_consumer.h"
#include "dunlin/lite_simple_consumer.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/push_consumer.h"
#include "dunlin/requester.h"
#include "dunlin/simple_consumer.h"
#include "dunlin/transaction_producer.h"

#include "clients/cpp/src/broadcast_push.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/group_core.h"
#include "clients/cpp/src/lite_core.h"
#include "clients/cpp/src/lite_producer_core.h"
#include "clients/cpp/src/lite_push.h"
#include "clients/cpp/src/producer_core.h"
#include "clients/cpp/src/pull_core.h"
#include "clients/cpp/src/push_core.h"
#include "clients/cpp/src/requester_core.h"
#include "clients/cpp/src/transaction_core.h"

namespace dunlin {
namespace {

absl::Status CheckBuffer(size_t bytes) {
  constexpr size_t kSmallest = 64 << 10;
  if (bytes >= kSmallest) return absl::OkStatus();
  return absl::InvalidArgumentError("max_buffered_bytes: 65536 or more");
}

absl::Status CheckGroup(const GroupOptions& options) {
  if (options.group.empty()) return absl::InvalidArgumentError("group: a name");
  if (options.max_unsettled < 1 || options.max_unsettled > 65535) {
    return absl::InvalidArgumentError("max_unsettled: 1 to 65535");
  }
  return CheckBuffer(options.max_buffered_bytes);
}

absl::Status CheckLite(const LiteOptions& options) {
  if (options.topic.empty()) return absl::InvalidArgumentError("topic: a name");
  if (options.group.empty()) return absl::InvalidArgumentError("group: a name");
  if (options.request_timeout.count() < 1) {
    return absl::InvalidArgumentError("request_timeout: 1 ms or more");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Client> Client::Connect(const ClientOptions& options) {
  auto connection = internal::Connection::Make(options);
  if (!connection.ok()) return connection.status();
  return Client(*std::move(connection));
}

absl::StatusOr<Producer> Client::MakeProducer(const ProducerOptions& options) const {
  constexpr size_t kSmallestBatch = 1 << 10;
  constexpr size_t kLargestBatch = 1 << 20;
  if (options.streams < 1 || options.streams > 64) {
    return absl::InvalidArgumentError("streams: 1 to 64");
  }
  if (options.max_batch_bytes < kSmallestBatch || options.max_batch_bytes > kLargestBatch) {
    return absl::InvalidArgumentError("max_batch_bytes: 1024 to 1048576");
  }
  if (options.frames_in_flight < 1) {
    return absl::InvalidArgumentError("frames_in_flight: 1 or more");
  }
  if (options.send_timeout.count() < 1) {
    return absl::InvalidArgumentError("send_timeout: 1 ms or more");
  }
  return Producer(std::make_shared<internal::ProducerCore>(connection_, options));
}

absl::StatusOr<TransactionProducer> Client::MakeTransactionProducer(
    const TransactionProducerOptions& options) const {
  constexpr std::chrono::hours kLongestFirstCheck{1};
  if (!options.checker) return absl::InvalidArgumentError("checker: a function");
  if (options.request_timeout.count() < 1) {
    return absl::InvalidArgumentError("request_timeout: 1 ms or more");
  }
  if (options.first_check.has_value() &&
      (options.first_check->count() < 1 || *options.first_check > kLongestFirstCheck)) {
    return absl::InvalidArgumentError("first_check: 1 ms to an hour");
  }
  return TransactionProducer(std::make_shared<internal::TransactionCore>(connection_, options));
}

absl::StatusOr<PullConsumer> Client::MakePullConsumer(const PullConsumerOptions& options) const {
  absl::Status status = CheckBuffer(options.max_buffered_bytes);
  if (!status.ok()) return status;
  return PullConsumer(std::make_shared<internal::PullCore>(connection_, options));
}

absl::StatusOr<SimpleConsumer> Client::MakeSimpleConsumer(
    const SimpleConsumerOptions& options) const {
  absl::Status status = CheckGroup(options);
  if (!status.ok()) return status;
  return SimpleConsumer(std::make_shared<internal::GroupCore>(connection_, options));
}

absl::StatusOr<PushConsumer> Client::MakePushConsumer(const PushConsumerOptions& options) const {
  absl::Status status = CheckGroup(options);
  if (!status.ok()) return status;
  if (options.threads < 1) return absl::InvalidArgumentError("threads: 1 or more");
  if (options.max_batch < 1) return absl::InvalidArgumentError("max_batch: 1 or more");
  if (options.max_processing_time.count() < 0) {
    return absl::InvalidArgumentError("max_processing_time: 0 ms or more");
  }
  if (static_cast<bool>(options.listener) == static_cast<bool>(options.batch_listener)) {
    return absl::InvalidArgumentError("either a listener or a batch_listener");
  }
  std::shared_ptr<internal::PushCore> core;
  if (options.broadcasting.has_value()) {
    core = std::make_shared<internal::BroadcastPush>(connection_, options);
  } else {
    core = std::make_shared<internal::GroupPush>(connection_, options);
  }
  status = core->Start();
  if (!status.ok()) return status;
  return PushConsumer(std::move(core));
}

absl::StatusOr<LiteProducer> Client::MakeLiteProducer(const LiteProducerOptions& options) const {
  if (options.request_timeout.count() < 1) {
    return absl::InvalidArgumentError("request_timeout: 1 ms or more");
  }
  return LiteProducer(std::make_shared<internal::LiteProducerCore>(connection_, options));
}

absl::StatusOr<LiteSimpleConsumer> Client::MakeLiteSimpleConsumer(
    const LiteSimpleConsumerOptions& options) const {
  absl::Status status = CheckLite(options);
  if (!status.ok()) return status;
  return LiteSimpleConsumer(std::make_shared<internal::LiteCore>(connection_->Stranger(), options,
                                                                 options.invisible_duration));
}

absl::StatusOr<LitePushConsumer> Client::MakeLitePushConsumer(
    const LitePushConsumerOptions& options) const {
  absl::Status status = CheckLite(options);
  if (!status.ok()) return status;
  if (options.threads < 1) return absl::InvalidArgumentError("threads: 1 or more");
  if (!options.listener) return absl::InvalidArgumentError("listener: a function");
  return LitePushConsumer(std::make_shared<internal::LitePush>(connection_->Stranger(), options));
}

absl::StatusOr<Requester> Client::MakeRequester(const RequesterOptions& options) const {
  if (options.max_waiting < 1) return absl::InvalidArgumentError("max_waiting: 1 or more");
  absl::StatusOr<Producer> producer = MakeProducer(ProducerOptions());
  if (!producer.ok()) return producer.status();
  absl::StatusOr<PullConsumer> consumer = MakePullConsumer(PullConsumerOptions());
  if (!consumer.ok()) return consumer.status();
  auto core = internal::RequesterCore::Start(options, *std::move(producer), *std::move(consumer));
  if (!core.ok()) return core.status();
  return Requester(*std::move(core));
}

}  // namespace dunlin
