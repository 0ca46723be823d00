#include "services/broker/member/not_master_service.h"

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/passed_on_stream.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

constexpr std::string_view kPublicService = "/apache.rocketmq.v2.MessagingService/";

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(const std::string& method, const std::string& why) {
    if (!std::string_view(method).starts_with(kPublicService)) {
      Finish({grpc::StatusCode::UNAVAILABLE, why});
      return;
    }
    answer_ = AnswerOnWire(PublicError(PublicCode::kHaNotAvailable, why));
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer answer_;
};

// A call with one answer that may be passed on. Whoever is first ends it: the right master, or a
// caller (or the server, when it stops) that does not wait for that one. So it lives until both are
// done with it.
class PassedOn final : public grpc::ServerGenericBidiReactor {
 public:
  static PassedOn* Start(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
                         const PassedOnMethod& method, std::string why) {
    auto call = std::shared_ptr<PassedOn>(new PassedOn(others, context, method, std::move(why)));
    call->self_ = call;
    call->StartRead(&call->request_);
    return call.get();
  }

  void OnReadDone(bool ok) override {
    const absl::Status refusal = PublicError(PublicCode::kHaNotAvailable, why_);
    absl::StatusOr<Destination> to = refusal;
    if (ok) to = method_.read(request_);
    if (!to.ok()) return Answer(AnswerOnWire(refusal));
    others_.Pass({context_, request_, method_.name}, *std::move(to), refusal,
                 [call = self_](const absl::Status& refused, const grpc::ByteBuffer& answer) {
                   call->Answer(refused.ok() ? answer : AnswerOnWire(refused));
                 });
  }
  void OnCancel() override {
    if (!ended_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<PassedOn> last = std::move(self_); }

 private:
  PassedOn(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
           const PassedOnMethod& method, std::string why)
      : others_(others), context_(context), method_(method), why_(std::move(why)) {}

  void Answer(const grpc::ByteBuffer& answer) {
    if (ended_.exchange(true)) return;
    answer_ = answer;
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }

  OtherBrokers& others_;
  const grpc::GenericCallbackServerContext& context_;
  const PassedOnMethod& method_;
  const std::string why_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
  std::atomic<bool> ended_ = false;
  std::shared_ptr<PassedOn> self_;  // until gRPC is done with it
};

// The same with a stream of answers.
class PassedOnReads final : public PassedOnStream<grpc::ServerGenericBidiReactor> {
 public:
  static PassedOnReads* Start(OtherBrokers& others,
                              const grpc::GenericCallbackServerContext& context,
                              const PassedOnMethod& method, const std::string& why) {
    PassedOnReads* const call =
        PassedOnStream::Start(std::make_shared<PassedOnReads>(others, context, method, why));
    call->StartRead(&call->request_);
    return call;
  }
  PassedOnReads(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
                const PassedOnMethod& method, const std::string& why)
      : others_(others),
        context_(context),
        method_(method),
        refusal_(PublicError(PublicCode::kHaNotAvailable, why)) {}

  void OnReadDone(bool ok) override {
    absl::StatusOr<Destination> to = refusal_;
    if (ok) to = method_.read(request_);
    if (!to.ok()) return Refuse(refusal_);
    others_.PassStream({context_, request_, method_.name}, *std::move(to), refusal_,
                       shared_from_this());
  }

 private:
  OtherBrokers& others_;
  const grpc::GenericCallbackServerContext& context_;
  const PassedOnMethod& method_;
  const absl::Status refusal_;
  grpc::ByteBuffer request_;
};

// Null: its calls are not passed on.
const PassedOnMethod* MethodOf(std::string_view path) {
  if (!path.starts_with(kPublicService)) return nullptr;
  return FindPassedOnMethod(path.substr(kPublicService.size()));
}

}  // namespace

void NotMasterService::SetMaster(std::string address) {
  MutexLock lock(mutex_);
  master_ = std::move(address);
}

grpc::ServerGenericBidiReactor* NotMasterService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  std::string why = why_;
  {
    MutexLock lock(mutex_);
    if (!master_.empty()) why += " at " + master_;
  }
  const PassedOnMethod* const method = others_ == nullptr ? nullptr : MethodOf(context->method());
  // All of them delete themselves.
  if (method == nullptr) return new Refusal(context->method(), why);
  if (method->answers_by_stream) {
    return PassedOnReads::Start(*others_, *context, *method, why);
  }
  return PassedOn::Start(*others_, *context, *method, std::move(why));
}

}  // namespace dunlin::broker
