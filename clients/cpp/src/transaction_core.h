// TransactionCore: half messages over the calls of apache.rocketmq.v2, and the questions that come
// over its Telemetry stream.
//
// The stream is made again whenever it breaks. One thread answers questions, which are bounded.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "dunlin/transaction_producer.h"

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/public_message.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class TransactionCore final : public StreamOwner, public Ticking {
 public:
  TransactionCore(std::shared_ptr<Connection> connection,
                  const TransactionProducerOptions& options);
  ~TransactionCore() override;

  // The half message as it was stored: its ids.
  struct Prepared {
    std::string transaction_id;
    std::string message_id;
  };
  absl::StatusOr<Prepared> Prepare(const Message& message) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status End(const std::string& topic, const std::string& transaction_id,
                   const std::string& message_id, bool commit) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  void OnRead(grpc::ByteBuffer& bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Tick(SteadyTime now) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Question = apache::rocketmq::v2::RecoverOrphanedTransactionCommand;
  using EndRequest = apache::rocketmq::v2::EndTransactionRequest;

  void Announce(const std::string& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the settings if they changed, unless a write is under way.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsClosed() const ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status SendEnd(const EndRequest& request) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns after `pause`, or at once when it is closed.
  void Pause(std::chrono::milliseconds pause) ABSL_LOCKS_EXCLUDED(mutex_);

  void AnswerQuestions() ABSL_LOCKS_EXCLUDED(mutex_);
  void Answer(const Question& question);

  const std::shared_ptr<Connection> connection_;
  const TransactionProducerOptions options_;
  MessageIds ids_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::string> topics_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool settings_due_ ABSL_GUARDED_BY(mutex_) = false;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // of streams, in a row
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};
  std::deque<Question> questions_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dunlin::internal
