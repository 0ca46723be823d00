#include "clients/cpp/src/receive_call.h"

#include <utility>

#include "clients/cpp/src/control_message.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr char kReceive[] = "/apache.rocketmq.v2.MessagingService/ReceiveMessage";

}  // namespace

ReceiveCall::ReceiveCall(const Connection& connection, const v2::ReceiveMessageRequest& request) {
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    stream_ = ByteStream::Start(connection, kReceive, *this);
    stream = stream_;
  }
  stream->Write(ToBytes(request));
}

absl::Status ReceiveCall::Wait(SteadyTime deadline) {
  MutexLock lock(mutex_);
  bool in_time = true;
  while (stream_ != nullptr && in_time) in_time = changed_.WaitUntil(mutex_, deadline);
  const bool late = stream_ != nullptr;
  if (late) stream_->Cancel();
  while (stream_ != nullptr) changed_.Wait(mutex_);
  if (!messages_.empty()) return absl::OkStatus();  // what came is leased
  if (late) return absl::DeadlineExceededError("the broker does not answer");
  return ended_.ok() ? status_ : FromGrpc(ended_);
}

void ReceiveCall::Cancel() {
  MutexLock lock(mutex_);
  if (stream_ != nullptr) stream_->Cancel();
}

std::vector<v2::Message> ReceiveCall::TakeMessages() {
  MutexLock lock(mutex_);
  return std::move(messages_);
}

void ReceiveCall::OnRead(grpc::ByteBuffer& bytes) {
  v2::ReceiveMessageResponse response;
  const bool parsed = FromBytes(bytes, response);
  MutexLock lock(mutex_);
  if (!parsed) {
    status_ = absl::InternalError("the answer of the broker cannot be read");
    stream_->Cancel();
  } else if (response.has_message()) {
    messages_.push_back(std::move(*response.mutable_message()));
  } else if (response.has_status() && response.status().code() != v2::MESSAGE_NOT_FOUND) {
    status_ = FromPublic(response.status());
  }
}

void ReceiveCall::OnWritten() {
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_;
  }
  if (stream != nullptr) stream->Finish();
}

void ReceiveCall::OnEnd(const grpc::Status& status) {
  MutexLock lock(mutex_);
  stream_.reset();  // at once: who waits for it may let go of the channel then
  ended_ = status;
  changed_.SignalAll();
}

}  // namespace dunlin::internal
