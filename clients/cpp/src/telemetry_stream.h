// TelemetryStream: the Telemetry call of a transaction producer to one broker, which asks its
// questions over it; made again whenever it breaks. Thread-safe.

#pragma once

#include <memory>
#include <string>

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

// Called without a lock.
class TelemetryHost {
 public:
  virtual ~TelemetryHost() = default;
  virtual apache::rocketmq::v2::Settings MakeSettings() = 0;
  virtual void OnQuestion(const std::string& broker,
                          apache::rocketmq::v2::RecoverOrphanedTransactionCommand question) = 0;
};

class TelemetryStream final : public StreamOwner, public Ticking {
 public:
  // `host` must outlive Close, which must come before the end.
  TelemetryStream(std::string broker, std::shared_ptr<Connection> connection, TelemetryHost& host);

  // Connects if it never did; says the settings, which have changed.
  void Renew() ABSL_LOCKS_EXCLUDED(mutex_);
  // The broker is served there.
  void MoveTo(std::shared_ptr<Connection> connection) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call and waits for its end.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  void OnRead(grpc::ByteBuffer& bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Tick(SteadyTime now) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the settings if they are due, unless a write is under way.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string broker_;
  const std::shared_ptr<Ticker> ticker_;
  TelemetryHost& host_;
  Mutex mutex_;
  CondVar ended_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool settings_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;  // the call, by what the broker said over it
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;      // of streams, in a row
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};
};

}  // namespace dunlin::internal
