#include "services/broker/member/not_master_service.h"

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/destination.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr std::string_view kPublicService = "/apache.rocketmq.v2.MessagingService/";

// In all answers of apache.rocketmq.v2 field 1 is the status, so that one of them stands for all.
grpc::ByteBuffer PublicAnswer(const absl::Status& why) {
  v2::SendMessageResponse answer;
  answer.mutable_status()->set_code(static_cast<v2::Code>(CodeOf(why)));
  answer.mutable_status()->set_message(std::string(why.message()));
  return Serialize(answer);
}

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(const std::string& method, const std::string& why) {
    if (!std::string_view(method).starts_with(kPublicService)) {
      Finish({grpc::StatusCode::UNAVAILABLE, why});
      return;
    }
    answer_ = PublicAnswer(PublicError(PublicCode::kHaNotAvailable, why));
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer answer_;
};

// One call that may be passed on. Whoever is first ends it: the right master, or a caller (or the
// server, when it stops) that does not wait for that one. So it lives until both are done with it.
class PassedOn final : public grpc::ServerGenericBidiReactor {
 public:
  static PassedOn* Start(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
                         DestinationReader read, std::string why) {
    auto call = std::shared_ptr<PassedOn>(new PassedOn(others, context, read, std::move(why)));
    call->self_ = call;
    call->StartRead(&call->request_);
    return call.get();
  }

  void OnReadDone(bool ok) override {
    const absl::Status refusal = PublicError(PublicCode::kHaNotAvailable, why_);
    absl::StatusOr<Destination> to = refusal;
    if (ok) to = read_(request_);
    if (!to.ok()) return Answer(PublicAnswer(refusal));
    others_.Pass({context_, request_, method_.c_str()}, *std::move(to), refusal,
                 [call = self_](const absl::Status& refused, const grpc::ByteBuffer& answer) {
                   call->Answer(refused.ok() ? answer : PublicAnswer(refused));
                 });
  }
  void OnCancel() override {
    if (!ended_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<PassedOn> last = std::move(self_); }

 private:
  PassedOn(OtherBrokers& others, const grpc::GenericCallbackServerContext& context,
           DestinationReader read, std::string why)
      : others_(others),
        context_(context),
        method_(context.method().substr(kPublicService.size())),
        read_(read),
        why_(std::move(why)) {}

  void Answer(const grpc::ByteBuffer& answer) {
    if (ended_.exchange(true)) return;
    answer_ = answer;
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }

  OtherBrokers& others_;
  const grpc::GenericCallbackServerContext& context_;
  const std::string method_;
  const DestinationReader read_;
  const std::string why_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
  std::atomic<bool> ended_ = false;
  std::shared_ptr<PassedOn> self_;  // until gRPC is done with it
};

DestinationReader ReaderOf(std::string_view method) {
  if (!method.starts_with(kPublicService)) return nullptr;
  return FindDestinationReader(method.substr(kPublicService.size()));
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
  const DestinationReader read = others_ == nullptr ? nullptr : ReaderOf(context->method());
  // Both delete themselves.
  if (read == nullptr) return new Refusal(context->method(), why);
  return PassedOn::Start(*others_, *context, read, std::move(why));
}

}  // namespace dunlin::broker
