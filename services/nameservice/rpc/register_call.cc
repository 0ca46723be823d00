#include "services/nameservice/rpc/register_call.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/rpc/buffers.h"

namespace dunlin::nameservice {
namespace {

// A request is applied in one step, and nothing else happens meanwhile.
constexpr int kMaxTopics = 10'000;

absl::Status CheckNumber(int topics) {
  if (topics <= kMaxTopics) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "a request with {} topics; send {} at most, and the rest in others", topics, kMaxTopics));
}

// The codes of both have the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* RegisterCall::Start(
    RouteDirectory& directory, broker::OpenStreams& open_streams, const Terms& terms) {
  auto call = std::shared_ptr<RegisterCall>(new RegisterCall(directory, open_streams, terms));
  call->self_ = call;
  call->session_ = directory.Enter(call);
  call->StartSendInitialMetadata();
  open_streams.Add(call);  // which ends it when the server stops
  MutexLock lock(call->mutex_);
  if (!call->finished_) call->StartRead(&call->received_);
  return call.get();
}

void RegisterCall::OnReadDone(bool ok) {
  if (!ok) {
    directory_.Leave(session_);  // at once, whatever is still being written
    return End(grpc::Status::OK);
  }
  const absl::Status handled = Handle(received_);
  // NOT_FOUND: the session was ended meanwhile, and why is on its way to OnEnded.
  if (!handled.ok() && !absl::IsNotFound(handled)) {
    directory_.Leave(session_);
    return End(ToGrpc(handled));
  }
  {
    MutexLock lock(mutex_);
    if (!finished_) StartRead(&received_);
  }
  Pump();
}

absl::Status RegisterCall::Handle(const grpc::ByteBuffer& bytes) {
  v1::RegisterRequest request;
  RETURN_IF_ERROR(broker::CheckRequestSize(bytes));
  RETURN_IF_ERROR(broker::Parse(bytes, request));
  if (!request.has_hello() && !IsRegistered()) {
    return absl::InvalidArgumentError("the first request of a session is a hello");
  }
  switch (request.content_case()) {
    case v1::RegisterRequest::kHello:
      return HandleHello(request.hello());
    case v1::RegisterRequest::kTable:
      RETURN_IF_ERROR(CheckNumber(request.table().topics_size()));
      return directory_.Apply(session_, request.table());
    case v1::RegisterRequest::kChanges:
      RETURN_IF_ERROR(
          CheckNumber(request.changes().changed_size() + request.changes().deleted_size()));
      return directory_.Apply(session_, request.changes());
    case v1::RegisterRequest::kHeartbeat:
      directory_.Hear(session_);
      return absl::OkStatus();
    case v1::RegisterRequest::CONTENT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a request without content: hello, table, changes, heartbeat");
}

bool RegisterCall::IsRegistered() {
  MutexLock lock(mutex_);
  return !group_.empty();
}

absl::Status RegisterCall::HandleHello(const v1::Hello& hello) {
  const absl::Status registered =
      IsRegistered() ? directory_.Update(session_, hello) : directory_.Register(session_, hello);
  const v1::MemberIdentity& identity = hello.identity();
  if (!registered.ok()) {
    log::Warning("member {} of broker group {} is refused: {}", identity.member(),
                 identity.broker_group(), registered.ToString());
    return registered;
  }
  MutexLock lock(mutex_);
  if (group_.empty()) {
    log::Info("member {} of broker group {} has come as {}, epoch {}", identity.member(),
              identity.broker_group(), v1::MemberRole_Name(hello.role()), hello.epoch());
  }
  group_ = identity.broker_group();
  return absl::OkStatus();
}

void RegisterCall::OnSendTable() {
  {
    MutexLock lock(mutex_);
    send_table_ = true;
  }
  Pump();
}

void RegisterCall::OnGroupChanged() {
  {
    MutexLock lock(mutex_);
    group_changed_ = true;
  }
  Pump();
}

void RegisterCall::OnEnded(const absl::Status& reason) {
  log::Info("a session ends: {}", reason.ToString());
  End(ToGrpc(reason));
}

void RegisterCall::Pump() {
  {
    MutexLock lock(mutex_);
    if (pumping_) return;  // whoever pumps looks again before it stops
    pumping_ = true;
  }
  while (const std::optional<v1::RegisterResponse> response = Next()) {
    MutexLock lock(mutex_);
    sending_ = broker::Serialize(*response);
    writing_ = true;
    StartWrite(&sending_);
  }
}

std::optional<v1::RegisterResponse> RegisterCall::Next() {
  v1::RegisterResponse response;
  std::string group;
  {
    MutexLock lock(mutex_);
    const bool may_write = !writing_ && !finished_ && !end_.has_value() && !group_.empty();
    if (may_write && !std::exchange(welcomed_, true)) {
      response.mutable_welcome()->set_session_timeout_ms(terms_.session_timeout_ms);
      return response;
    }
    if (may_write && std::exchange(send_table_, false)) {
      response.mutable_send_table();
      return response;
    }
    if (may_write && std::exchange(group_changed_, false)) {
      group = group_;
    } else {
      pumping_ = false;
      if (end_.has_value() && !writing_ && !finished_) {
        finished_ = true;
        Finish(*end_);
      }
      return std::nullopt;
    }
  }
  // Without the lock, and after the mark was taken: a change in between makes another.
  if (std::optional<v1::GroupState> state = directory_.DescribeGroup(group); state.has_value()) {
    *response.mutable_group() = *std::move(state);
  } else {
    response.mutable_group()->set_name(group);
  }
  return response;
}

void RegisterCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  if (!ok) return End(grpc::Status(grpc::StatusCode::CANCELLED, "the member has gone"));
  Pump();
}

void RegisterCall::End(const grpc::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Pump();
}

void RegisterCall::OnCancel() {
  directory_.Leave(session_);
  End(grpc::Status(grpc::StatusCode::CANCELLED, "the member has gone"));
}

void RegisterCall::EndForStop() {
  End({grpc::StatusCode::UNAVAILABLE, "the name service stops; register with another one"});
}

void RegisterCall::OnDone() {
  directory_.Leave(session_);
  open_streams_.Remove(this);
  {
    MutexLock lock(mutex_);
    finished_ = true;
  }
  self_.reset();  // the directory may hold the last reference for a moment
}

}  // namespace dunlin::nameservice
