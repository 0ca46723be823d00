// TransactionCore: half messages over the calls of apache.rocketmq.v2, and the questions that come
// over Telemetry streams, one to each broker that holds a topic of this producer.
//
// A transaction ends at the broker that has its half message, wherever that is served by then. One
// thread answers questions, which are bounded.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "dunlin/transaction_producer.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/public_message.h"
#include "clients/cpp/src/route_book.h"
#include "clients/cpp/src/telemetry_stream.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class TransactionCore final : public TelemetryHost {
 public:
  TransactionCore(std::shared_ptr<Connection> connection,
                  const TransactionProducerOptions& options);
  ~TransactionCore() override;

  // The half message as it was stored: its ids, and where.
  struct Prepared {
    std::string topic;
    std::string broker;
    std::string transaction_id;
    std::string message_id;
  };
  absl::StatusOr<Prepared> Prepare(const Message& message) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status End(const Prepared& prepared, bool commit) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  apache::rocketmq::v2::Settings MakeSettings() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnQuestion(const std::string& broker,
                  apache::rocketmq::v2::RecoverOrphanedTransactionCommand question) override
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Question = apache::rocketmq::v2::RecoverOrphanedTransactionCommand;
  using EndRequest = apache::rocketmq::v2::EndTransactionRequest;

  // What a broker asked.
  struct Asked {
    std::string broker;
    Question question;
  };

  void Announce(const std::string& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  // A broker holds one of the topics: it may ask.
  void Listen(const BrokerAt& broker) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsClosed() const ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status SendEnd(const std::string& broker, const EndRequest& request)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns after `pause`, or at once when it is closed.
  void Pause(std::chrono::milliseconds pause) ABSL_LOCKS_EXCLUDED(mutex_);

  void AnswerQuestions() ABSL_LOCKS_EXCLUDED(mutex_);
  void Answer(const Asked& asked);

  const std::shared_ptr<Connection> connection_;
  const TransactionProducerOptions options_;
  MessageIds ids_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string> topics_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<TelemetryStream>> streams_ ABSL_GUARDED_BY(mutex_);
  std::deque<Asked> questions_ ABSL_GUARDED_BY(mutex_);
  RouteBook routes_;
  std::thread thread_;
};

}  // namespace dunlin::internal
