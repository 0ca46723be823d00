#include "services/broker/member/not_master_service.h"

#include <string_view>
#include <utility>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr std::string_view kPublicService = "/apache.rocketmq.v2.MessagingService/";

// In all answers of apache.rocketmq.v2 field 1 is the status, so that one of them stands for all.
grpc::ByteBuffer PublicAnswer(const std::string& why) {
  v2::SendMessageResponse answer;
  answer.mutable_status()->set_code(v2::HA_NOT_AVAILABLE);
  answer.mutable_status()->set_message(why);
  return Serialize(answer);
}

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(const std::string& method, std::string why) : why_(std::move(why)) {
    if (!std::string_view(method).starts_with(kPublicService)) {
      Finish({grpc::StatusCode::UNAVAILABLE, why_});
      return;
    }
    answer_ = PublicAnswer(why_);
    StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  const std::string why_;
  grpc::ByteBuffer answer_;
};

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
  return new Refusal(context->method(), std::move(why));
}

}  // namespace dunlin::broker
