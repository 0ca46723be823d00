// PassedOnStream: a call that is passed on to the broker it belongs to. What that one writes comes
// out here, a message at a time.
//
// When the caller goes, or the server stops, that one is told, and the call ends only then: what a
// caller knows to be broken must not be stored behind what it sends next. Keeps itself alive until
// gRPC and the relay are done with it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/holders.h"
#include "services/broker/rpc/status_map.h"
#include "services/relay/relay.h"

namespace dunlin::broker {

// Of a method that is passed on.
inline Relay::Kind KindOf(const char* method) {
  return FindPassedOnMethod(method)->answers_by_stream ? Relay::Kind::kPoll : Relay::Kind::kCall;
}

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

  // One of the three, once. `method`: of apache.rocketmq.v2.MessagingService.
  void PassTo(Relay& relay, const Holder& holder, const char* method, const Relay::Caller& caller,
              const grpc::ByteBuffer& request) {
    holder_ = holder;
    kind_ = KindOf(method);
    relay.PassStream(holder.address, PublicMethod(method), kind_, caller, request,
                     this->shared_from_this());
  }
  // Ends it without an answer.
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (!std::exchange(ended_, true)) this->Finish(status);
  }
  void Refuse(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    message_ = AnswerOnWire(ToWire(why));
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
    message_ = message;
    this->StartWrite(&message_);
  }
  void OnEnd(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_) {
    bool cancelled = false;
    {
      MutexLock lock(mutex_);
      stream_ = nullptr;
      cancelled = cancelled_;
    }
    if (status.ok()) return End(status);
    if (cancelled) return End(grpc::Status::CANCELLED);
    absl::Status why = NotPassedOn(holder_, status);
    // SDKs poll again 20 ms after TOO_MANY_REQUESTS, and a second after this.
    if (kind_ == Relay::Kind::kPoll && CodeOf(why) == PublicCode::kTooManyRequests) {
      why = PublicError(PublicCode::kHaNotAvailable, FromAbsl(why.message()));
    }
    if (!answered_) return Refuse(why);
    End({grpc::StatusCode::UNAVAILABLE, std::string(why.message())});
  }

  // Of gRPC.
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (!ok) stream_->Cancel();
    stream_->Next();
  }
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    cancelled_ = true;
    if (stream_ != nullptr) return stream_->Cancel();  // its end ends the call
    if (!std::exchange(ended_, true)) this->Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<PassedOnStream> last = std::move(self_); }

 private:
  std::shared_ptr<PassedOnStream> self_;  // until gRPC is done with it
  Holder holder_;                         // set before the relay has it
  Relay::Kind kind_ = Relay::Kind::kCall;
  bool answered_ = false;  // of the relay's thread

  Mutex mutex_;
  Relay::Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;  // while it goes on
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;           // by the caller
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer message_;
};

}  // namespace dunlin::broker
