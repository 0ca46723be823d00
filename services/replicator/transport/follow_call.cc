#include "services/replicator/transport/follow_call.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "services/replicator/transport/handshake.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

// The codes are the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

absl::Status CheckSize(const grpc::ByteBuffer& request) {
  if (request.Length() <= kMaxRequestBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("a request of {} bytes; at most {} are taken",
                                                request.Length(), kMaxRequestBytes));
}

}  // namespace

std::shared_ptr<FollowCall> FollowCall::Make(uint64_t number, Owner& owner,
                                             grpc::CallbackServerContext& context) {
  auto call = std::shared_ptr<FollowCall>(new FollowCall(number, owner, context));
  call->self_ = call;
  return call;
}

void FollowCall::Begin() {
  StartSendInitialMetadata();
  StartRead(&received_);
}

bool FollowCall::Write(const grpc::ByteBuffer& answer) {
  MutexLock lock(mutex_);
  if (end_.has_value()) return true;
  if (writing_) return false;
  sending_ = answer;  // shares its slices
  writing_ = true;
  StartWrite(&sending_);
  return true;
}

bool FollowCall::ended() const {
  MutexLock lock(mutex_);
  return end_.has_value();
}

bool FollowCall::EndLocked(const absl::Status& status) {
  if (!end_.has_value()) end_ = ToGrpc(status);
  if (finished_) return false;
  if (writing_) return true;
  finished_ = true;
  Finish(*end_);
  return false;
}

void FollowCall::End(const absl::Status& status) {
  MutexLock lock(mutex_);
  EndLocked(status);
}

void FollowCall::EndNow(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (EndLocked(status)) context_.TryCancel();
}

void FollowCall::OnReadDone(bool ok) {
  if (!ok) return End(absl::UnavailableError("the slave has gone"));
  if (ended()) return;  // what was read meanwhile nobody is to act on
  v1::FollowRequest request;
  absl::Status handled = CheckSize(received_);
  if (handled.ok()) handled = Parse(received_, request);
  if (handled.ok()) handled = owner_.OnRequest(*this, request);
  if (!handled.ok()) return End(handled);
  if (!ended()) StartRead(&received_);
}

void FollowCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    sending_.Clear();  // lets the segment go
    if (!ok && !end_.has_value()) end_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "it has gone");
    if (end_.has_value() && !finished_) {
      finished_ = true;
      Finish(*end_);
    }
  }
  owner_.OnWritten(*this);
}

void FollowCall::OnDone() {
  const std::shared_ptr<FollowCall> self = std::move(self_);
  owner_.OnDone(*this);
}

}  // namespace dunlin::replicator
