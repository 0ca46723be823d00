#include "services/broker/member/not_master_service.h"

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
    // Refusals are counted of brokers that have a role in it.
    answer_ = AnswerOnWire(StatusOnWire(PublicError(PublicCode::kHaNotAvailable, why)));
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer answer_;
};

// A call that is passed on, if it can be told where to.
class PassedOn final : public PassedOnStream<grpc::ServerGenericBidiReactor> {
 public:
  static PassedOn* Start(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
                         const PassedOnMethod& method, const std::string& why) {
    PassedOn* const call =
        PassedOnStream::Start(std::make_shared<PassedOn>(others, context, method, why));
    call->StartRead(&call->request_);
    return call;
  }
  PassedOn(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
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
  // Both delete themselves.
  if (method == nullptr) return new Refusal(context->method(), why);
  return PassedOn::Start(*others_, *context, *method, why);
}

}  // namespace dunlin::broker
