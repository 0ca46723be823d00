// LiteCore: a consumer of lightweight topics over the calls of apache.rocketmq.v2.
//
// The broker keeps the subscriptions of a client as long as it hears of it; this one tells its
// whole set every so often, and when the Telemetry stream, over which the broker speaks, was made
// again. One thread does so, and calls on_lost.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "dunlin/lite_message.h"
#include "dunlin/lite_options.h"
#include "dunlin/pull_consumer.h"

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/public_message.h"
#include "clients/cpp/src/receive_call.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class LiteCore final : public StreamOwner, public Ticking {
 public:
  // `invisible`: the length of leases; none: the broker extends them as long as the client lives.
  LiteCore(std::shared_ptr<Connection> connection, const LiteOptions& options,
           std::optional<std::chrono::milliseconds> invisible);
  ~LiteCore() override;

  absl::Status Subscribe(std::string_view lite_topic, const std::optional<StartAt>& start)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Unsubscribe(std::string_view lite_topic) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> Subscriptions() const ABSL_LOCKS_EXCLUDED(mutex_);

  absl::StatusOr<std::vector<ReceivedLiteMessage>> Receive(size_t max,
                                                           std::chrono::milliseconds timeout)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Ack(std::span<const ReceivedLiteMessage> messages) ABSL_LOCKS_EXCLUDED(mutex_);
  // The message comes again after `delay`; with `suspend` without an attempt more.
  absl::Status PutOff(const ReceivedLiteMessage& message, std::chrono::milliseconds delay,
                      bool suspend) ABSL_LOCKS_EXCLUDED(mutex_);
  // What the group's retry policy says behind this attempt.
  std::chrono::milliseconds RetryDelay(uint32_t attempt) const ABSL_LOCKS_EXCLUDED(mutex_);
  void Report(const absl::Status& status) const;
  // Returns after `pause`, or at once when it is closed. Whether it is.
  bool Pause(std::chrono::milliseconds pause) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends what waits; no later call succeeds.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops, and says good-bye to the broker.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  void OnRead(grpc::ByteBuffer& bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten() override {}
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes the Telemetry stream when it is time.
  void Tick(SteadyTime now) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ReceiveRequest = apache::rocketmq::v2::ReceiveMessageRequest;
  using SyncRequest = apache::rocketmq::v2::SyncLiteSubscriptionRequest;

  void Heed(const apache::rocketmq::v2::Settings& settings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sends `request`, one at a time, so that the broker hears of changes in their order.
  absl::Status Sync(SyncRequest& request) ABSL_LOCKS_EXCLUDED(mutex_);
  void BeginSync() ABSL_LOCKS_EXCLUDED(mutex_);
  void EndSync() ABSL_LOCKS_EXCLUDED(mutex_);
  // The whole set.
  void TellAll() ABSL_LOCKS_EXCLUDED(mutex_);
  void Keep() ABSL_LOCKS_EXCLUDED(mutex_);

  ReceiveRequest RequestOf(size_t max);
  absl::Status ReceiveOnce(ReceiveRequest& request, std::chrono::milliseconds wait,
                           std::vector<ReceivedLiteMessage>& messages) ABSL_LOCKS_EXCLUDED(mutex_);
  // A message that cannot be read has failed: it comes again as the group's retry policy says, in
  // the end as a dead letter, and with it those behind it.
  void Decode(std::vector<apache::rocketmq::v2::Message> from, std::vector<ReceivedLiteMessage>& to)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<Connection> connection_;
  const LiteOptions options_;
  const std::optional<std::chrono::milliseconds> invisible_;
  MessageIds attempt_ids_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string, std::less<>> names_ ABSL_GUARDED_BY(mutex_);
  bool syncing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last change
  SteadyTime tell_at_ ABSL_GUARDED_BY(mutex_) = SteadyTime::max();
  std::deque<std::string> lost_ ABSL_GUARDED_BY(mutex_);  // and not told yet
  std::set<ReceiveCall*> receives_ ABSL_GUARDED_BY(mutex_);
  apache::rocketmq::v2::RetryPolicy retry_policy_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool greeted_ ABSL_GUARDED_BY(mutex_) = false;  // by the stream
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;      // of streams, in a row
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;  // the stream, by what the broker said over it
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};
  std::thread thread_;
};

}  // namespace dunlin::internal
