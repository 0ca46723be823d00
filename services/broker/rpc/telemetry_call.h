// TelemetryCall: one Telemetry stream; settings in, settings and commands out.

#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"
#include "services/broker/access/permit.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/command_streams.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// Deletes itself when the stream is over.
class TelemetryCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public CommandStream {
 public:
  // Sends the response headers at once: some clients wait for them before they say anything.
  TelemetryCall(ServiceContext& services, const grpc::CallbackServerContext& context);

  void Send(const apache::rocketmq::v2::TelemetryCommand& command) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // A question to the client, serialised. False when the stream is about to end, or too much waits
  // for the client to read it.
  bool Offer(const std::string& command) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Command = apache::rocketmq::v2::TelemetryCommand;
  class Session;
  struct Unsent {
    grpc::ByteBuffer bytes;
    bool offered = false;
  };

  // What to do with one command; an error ends the stream.
  absl::Status Take(const grpc::ByteBuffer& bytes);
  // Fills the answer; an error ends the stream.
  absl::Status ReadSettings(const apache::rocketmq::v2::Settings& sent, Command& answer);
  // The producer is asked nothing any more, or only while it may send to what it announced.
  void StopAsking() ABSL_LOCKS_EXCLUDED(mutex_);
  void AskWhilePermitted(const apache::rocketmq::v2::Settings& sent) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the caller may do what it says that it will.
  absl::Status CheckAccess(const apache::rocketmq::v2::Settings& sent) const;
  void FinishWhenWritten(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void WriteOrFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ServiceContext& services_;
  const CallContext call_;
  grpc::ByteBuffer received_;  // of the read under way
  bool opened_ = false;
  std::vector<std::string> publishes_;  // topics that a producer announced last
  std::shared_ptr<Session> session_;    // of a producer

  Mutex mutex_;
  std::deque<Unsent> unsent_ ABSL_GUARDED_BY(mutex_);  // the first is being written
  // Of answers, and of what was offered.
  struct Waiting {
    size_t count = 0;
    size_t bytes = 0;
  };
  Waiting answers_ ABSL_GUARDED_BY(mutex_);
  Waiting offers_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status result_ ABSL_GUARDED_BY(mutex_);
  Permit permit_ ABSL_GUARDED_BY(mutex_);  // to send to the topics that were announced
};

}  // namespace dunlin::broker
