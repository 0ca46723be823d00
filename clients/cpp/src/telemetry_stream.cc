#include "clients/cpp/src/telemetry_stream.h"

#include <utility>

#include "clients/cpp/src/control_message.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr char kTelemetry[] = "/apache.rocketmq.v2.MessagingService/Telemetry";
constexpr std::chrono::milliseconds kFirstPause{50};

}  // namespace

TelemetryStream::TelemetryStream(std::string broker, std::shared_ptr<Connection> connection,
                                 TelemetryHost& host)
    : broker_(std::move(broker)),
      ticker_(connection->ticker()),
      host_(host),
      connection_(std::move(connection)) {}

void TelemetryStream::Connect() {
  settings_due_ = true;
  writing_ = false;
  stream_ = ByteStream::Start(*connection_, kTelemetry, *this);
}

void TelemetryStream::Renew() {
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    settings_due_ = true;
    if (!std::exchange(started_, true)) Connect();
  }
  Pump();
}

void TelemetryStream::MoveTo(std::shared_ptr<Connection> connection) {
  MutexLock lock(mutex_);
  if (closing_) return;
  const bool is_another = connection != connection_;
  connection_ = std::move(connection);
  if (is_another) failures_ = 0;
  if (is_another && stream_ != nullptr) stream_->Cancel();
}

void TelemetryStream::Pump() {
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    if (stream_ == nullptr || writing_ || !settings_due_) return;
    writing_ = true;
    settings_due_ = false;
    stream = stream_;
  }
  v2::TelemetryCommand command;
  *command.mutable_settings() = host_.MakeSettings();
  stream->Write(ToBytes(command));
}

void TelemetryStream::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  Pump();
}

void TelemetryStream::OnRead(grpc::ByteBuffer& bytes) {
  v2::TelemetryCommand command;
  const bool parsed = FromBytes(bytes, command);
  {
    MutexLock lock(mutex_);
    if (!parsed) return stream_->Cancel();
    refused_ = command.has_status() && IsRefusal(FromPublic(command.status()));
    if (!refused_) failures_ = 0;
    if (closing_ || !command.has_recover_orphaned_transaction_command()) return;
  }
  host_.OnQuestion(broker_, std::move(*command.mutable_recover_orphaned_transaction_command()));
}

void TelemetryStream::OnEnd(const grpc::Status& status) {
  MutexLock lock(mutex_);
  stream_.reset();  // at once: who waits for it may let go of the channel then
  writing_ = false;
  if (!closing_) {
    const bool refused = std::exchange(refused_, false) || IsFatal(status);
    reconnect_at_ = steady_clock::now() +
                    (refused ? kRefusedPause : Jittered(Backoff(failures_++, kFirstPause)));
    ticker_->WakeAt(reconnect_at_, this);
  }
  ended_.SignalAll();
}

void TelemetryStream::Tick(SteadyTime now) {
  {
    MutexLock lock(mutex_);
    if (closing_ || stream_ != nullptr || now < reconnect_at_) return;
    Connect();
  }
  Pump();
}

void TelemetryStream::Close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    if (stream_ != nullptr) stream_->Cancel();
  }
  ticker_->Forget(this);
  MutexLock lock(mutex_);
  while (stream_ != nullptr) ended_.Wait(mutex_);
}

}  // namespace dunlin::internal
