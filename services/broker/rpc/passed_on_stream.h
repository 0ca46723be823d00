// PassedOnStream: a call that is answered by a stream, passed on to the broker it belongs to. What
// that one writes comes out here, a message at a time; when the caller goes, that one is told.
//
// Whoever is first ends the call: the right broker, or a caller (or the server, when it stops) that
// does not wait for that one. Keeps itself alive until gRPC and the relay are done with it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/broker/rpc/holders.h"
#include "services/broker/rpc/status_map.h"
#include "services/relay/relay.h"

namespace dunlin::broker {

// `Reactor`: one of a server, which writes grpc::ByteBuffer.
template <typename Reactor>
class PassedOnStream : public Reactor,
                       public Relay::Reader,
                       public std::enable_shared_from_this<PassedOnStream<Reactor>> {
 public:
  // gRPC has it from now on.
  template <typename Call>
  static Call* Start(std::shared_ptr<Call> call) {
    PassedOnStream& started = *call;
    started.self_ = call;
    return call.get();
  }

  // One of both, once. `method`: of apache.rocketmq.v2.MessagingService.
  void PassTo(Relay& relay, const Holder& holder, const char* method, const Relay::Caller& caller,
              const grpc::ByteBuffer& request) {
    holder_ = holder;
    relay.PassStream(holder.address, PublicMethod(method), caller, request,
                     this->shared_from_this());
  }
  void Refuse(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    message_ = AnswerOnWire(why);
    this->StartWriteAndFinish(&message_, {}, grpc::Status::OK);
  }

  // Of the relay.
  void OnStart(Relay::Stream& stream) override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    stream_ = &stream;
    if (ended_) stream_->Cancel();
  }
  void OnMessage(const grpc::ByteBuffer& message) override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (ended_) return stream_->Next();
    answered_ = true;
    writing_ = true;
    message_ = message;
    this->StartWrite(&message_);
  }
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_) {
    if (!status.ok() && !answered_) Refuse(NotPassedOn(holder_, status));
    MutexLock lock(mutex_);
    stream_ = nullptr;
    if (std::exchange(ended_, true)) return;
    this->Finish(status.ok() ? status
                             : grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                            std::string(NotPassedOn(holder_, status).message())));
  }

  // Of gRPC.
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok && !std::exchange(ended_, true)) {
      this->Finish(grpc::Status::CANCELLED);
      stream_->Cancel();
    }
    if (stream_ != nullptr) stream_->Next();
  }
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (stream_ != nullptr) stream_->Cancel();
    if (writing_ || std::exchange(ended_, true)) return;  // the write fails, and ends it
    this->Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<PassedOnStream> last = std::move(self_); }

 private:
  std::shared_ptr<PassedOnStream> self_;  // until gRPC is done with it
  Holder holder_;                         // set before the relay has it
  bool answered_ = false;                 // of the relay's thread

  Mutex mutex_;
  Relay::Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;  // while it goes on
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer message_;
};

}  // namespace dunlin::broker
