#include "services/replicator/transport/follow_stream.h"

#include <string>
#include <utility>

#include "services/base/strings.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

constexpr char kMethod[] = "/dunlin.replication.v1.ReplicationService/Follow";
// Credit bounds the bytes of frames; this bounds those that need none.
constexpr int kMaxUntaken = 256;

}  // namespace

FollowStream::FollowStream(uint64_t number, Owner& owner,
                           const std::shared_ptr<grpc::Channel>& channel)
    : number_(number), owner_(owner), stub_(channel) {}

std::shared_ptr<FollowStream> FollowStream::Make(uint64_t number, Owner& owner,
                                                 const std::shared_ptr<grpc::Channel>& channel) {
  auto stream = std::shared_ptr<FollowStream>(new FollowStream(number, owner, channel));
  stream->self_ = stream;
  return stream;
}

void FollowStream::Begin(const v1::Hello& hello) {
  stub_.PrepareBidiStreamingCall(&context_, kMethod, grpc::StubOptions(), this);
  AddHold();  // until Close: reads and writes are started by others than gRPC, too
  MutexLock lock(mutex_);
  *unsent_.emplace_back().mutable_hello() = hello;
  StartCall();
  WriteNext();
  ReadOn();
}

void FollowStream::Send(const v1::Proof& proof) {
  MutexLock lock(mutex_);
  *unsent_.emplace_back().mutable_proof() = proof;
  WriteNext();
}

void FollowStream::Send(const v1::Ack& ack) {
  MutexLock lock(mutex_);
  const uint64_t credit = ack_.has_value() ? ack_->credit_bytes() : 0;
  ack_ = ack;
  ack_->set_credit_bytes(credit + ack.credit_bytes());
  WriteNext();
}

void FollowStream::Taken(int answers) {
  MutexLock lock(mutex_);
  untaken_ -= answers;
  ReadOn();
}

void FollowStream::Cancel(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (why_.ok()) why_ = why;
  if (closed_) return;
  context_.TryCancel();
  Close();
}

void FollowStream::WriteNext() {
  if (closed_ || writing_) return;
  v1::FollowRequest request;
  if (!unsent_.empty()) {
    request = std::move(unsent_.front());
    unsent_.pop_front();
  } else if (ack_.has_value()) {
    *request.mutable_ack() = *std::move(ack_);
    ack_.reset();
  } else {
    return;
  }
  sending_ = Serialize(request);
  writing_ = true;
  StartWrite(&sending_);
}

void FollowStream::ReadOn() {
  if (closed_ || reading_ || untaken_ >= kMaxUntaken) return;
  reading_ = true;
  StartRead(&received_);
}

void FollowStream::Close() {
  if (closed_) return;
  closed_ = true;
  RemoveHold();
}

void FollowStream::OnReadDone(bool ok) {
  if (!ok) {
    MutexLock lock(mutex_);
    return Close();
  }
  const absl::Status taken = owner_.OnAnswer(*this, received_);
  if (!taken.ok()) return Cancel(taken);
  MutexLock lock(mutex_);
  reading_ = false;
  ++untaken_;
  received_.Clear();
  ReadOn();
}

void FollowStream::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok) return;  // the read ends, too, and says why
  WriteNext();
}

void FollowStream::OnDone(const grpc::Status& status) {
  std::shared_ptr<FollowStream> self = std::move(self_);
  absl::Status why;
  {
    MutexLock lock(mutex_);
    why = why_;
  }
  if (why.ok() && !status.ok()) {
    // The codes are the same numbers.
    why = absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                       ToAbsl(status.error_message()));
  }
  if (why.ok()) why = absl::UnavailableError("the master ended the stream");
  // The connection goes before it is said that all is over: who waits for that may end gRPC.
  Owner& owner = owner_;
  const uint64_t number = number_;
  self.reset();
  owner.OnEnded(number, why);
}

}  // namespace dunlin::replicator
