#include "services/replicator/transport/log_sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/replicator/transport/wire.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

constexpr size_t kMaxStrangers = 32;
// Strangers who come again and again do not fill the log.
constexpr std::chrono::seconds kSayRefusals{1};

absl::Status Stopping() { return absl::UnavailableError("the member stops"); }

absl::Status PushedOut() {
  return absl::ResourceExhaustedError("too many streams that prove nothing");
}

}  // namespace

LogSender::LogSender(Identity identity, const LaneOptions& options, const OpenLogSource& open,
                     const Clock& clock, Listener& listener)
    : lane_options_(options),
      open_(open),
      clock_(clock),
      listener_(listener),
      identity_(std::move(identity)) {
  MutexLock lock(mutex_);
  MakeLanes();
}

LogSender::~LogSender() { Stop(); }

void LogSender::MakeLanes() {
  for (const MemberName& other : identity_.others) {
    std::unique_ptr<Lane>& lane = lanes_[other];
    if (lane != nullptr) continue;
    lane = std::make_unique<Lane>(other, lane_options_, open_, clock_);
    lane->Advance(extent_);
  }
}

void LogSender::SetOthers(const std::set<MemberName>& others) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  identity_.others = others;
  MakeLanes();
}

std::vector<Lane*> LogSender::Lanes() {
  MutexLock lock(mutex_);
  std::vector<Lane*> lanes;
  lanes.reserve(lanes_.size());
  for (const auto& [slave, lane] : lanes_) lanes.push_back(lane.get());
  return lanes;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* LogSender::Follow(
    grpc::CallbackServerContext& context) {
  std::shared_ptr<FollowCall> call;
  std::shared_ptr<FollowCall> pushed_out;
  bool stopping = false;
  {
    MutexLock lock(mutex_);
    stopping = stopping_;
    const uint64_t number = ++last_number_;
    call = FollowCall::Make(number, *this, context);
    calls_.emplace(number, std::make_unique<Call>(Call{.call = call,
                                                       .handshake = MasterHandshake(identity_),
                                                       .hello = {},
                                                       .proved = false,
                                                       .lane = nullptr}));
    // Before others can push it out: what has ended cannot begin.
    if (!stopping) call->Begin();
    strangers_.push_back(number);
    if (strangers_.size() > kMaxStrangers) {
      pushed_out = calls_.at(strangers_.front())->call;
      strangers_.pop_front();
    }
  }
  if (pushed_out != nullptr) {
    pushed_out->EndNow(PushedOut());
  }
  if (stopping) call->End(Stopping());
  return call.get();
}

absl::Status LogSender::OnRequest(FollowCall& call, const v1::FollowRequest& request) {
  absl::Status handled;
  switch (request.request_case()) {
    case v1::FollowRequest::kHello:
      handled = OnHelloRequest(call, request.hello());
      break;
    case v1::FollowRequest::kProof:
      handled = OnProofRequest(call, request.proof());
      break;
    case v1::FollowRequest::kAck:
      return OnAckRequest(call, request.ack());
    case v1::FollowRequest::REQUEST_NOT_SET:
      return absl::InvalidArgumentError("a request without hello, proof or ack");
  }
  if (!handled.ok() && MaySayRefusal()) {
    log::Warning("a slave is not let in: {}", FromAbsl(handled.message()));
  }
  return handled;
}

bool LogSender::MaySayRefusal() {
  const std::chrono::nanoseconds now = BootTime();
  MutexLock lock(mutex_);
  if (now < say_refusal_at_) return false;
  say_refusal_at_ = now + kSayRefusals;
  return true;
}

absl::Status LogSender::OnHelloRequest(FollowCall& call, const v1::Hello& hello) {
  v1::FollowResponse answer;
  {
    MutexLock lock(mutex_);
    Call& state = *calls_.at(call.number());
    if (!state.hello.member().empty()) return absl::InvalidArgumentError("a second hello");
    ASSIGN_OR_RETURN(*answer.mutable_challenge(), state.handshake.OnHello(hello));
    state.hello = hello;
  }
  call.Write(Serialize(answer));  // nothing has been written before it
  return absl::OkStatus();
}

absl::Status LogSender::OnProofRequest(FollowCall& call, const v1::Proof& proof) {
  Hello hello;
  {
    MutexLock lock(mutex_);
    Call& state = *calls_.at(call.number());
    if (state.hello.member().empty() || state.proved) {
      return absl::InvalidArgumentError("a proof comes once, after the challenge");
    }
    RETURN_IF_ERROR(state.handshake.OnProof(proof));
    ASSIGN_OR_RETURN(hello, FromWire(state.hello));
    const auto stranger = std::find(strangers_.begin(), strangers_.end(), call.number());
    if (stranger == strangers_.end()) return PushedOut();  // just now
    strangers_.erase(stranger);
    state.proved = true;
  }
  listener_.OnHello(call.number(), hello);
  return absl::OkStatus();
}

absl::Status LogSender::OnAckRequest(FollowCall& call, const v1::Ack& ack) {
  ASSIGN_OR_RETURN(const Ack acknowledged, FromWire(ack));
  Lane* lane = nullptr;
  {
    MutexLock lock(mutex_);
    lane = calls_.at(call.number())->lane;
  }
  if (lane == nullptr) return absl::InvalidArgumentError("an ack before the start");
  const absl::Status taken = lane->OnAck(call, acknowledged, ack.credit_bytes());
  // Whoever took the stream from the lane ends it, and says why.
  if (absl::IsAborted(taken)) return absl::OkStatus();
  RETURN_IF_ERROR(taken);
  listener_.OnAck(call.number(), acknowledged);
  return absl::OkStatus();
}

void LogSender::OnWritten(FollowCall& call) {
  Lane* lane = nullptr;
  {
    MutexLock lock(mutex_);
    lane = calls_.at(call.number())->lane;
  }
  if (lane != nullptr) lane->Wake();
}

void LogSender::OnDone(FollowCall& call) {
  std::unique_ptr<Call> done;
  {
    MutexLock lock(mutex_);
    const auto found = calls_.find(call.number());
    done = std::move(found->second);
    const auto stranger = std::find(strangers_.begin(), strangers_.end(), call.number());
    if (stranger != strangers_.end()) strangers_.erase(stranger);
  }
  if (done->lane != nullptr) done->lane->Wake();
  if (done->proved) listener_.OnSlaveGone(call.number());
  done.reset();
  // Last: Stop, and so the destructor, waits for it.
  MutexLock lock(mutex_);
  calls_.erase(call.number());
  gone_.SignalAll();
}

void LogSender::Start(uint64_t stream, const StreamStart& start, const EpochHistory& history) {
  std::shared_ptr<FollowCall> call;
  Lane* lane = nullptr;
  uint64_t credit = 0;
  {
    MutexLock lock(mutex_);
    const auto found = calls_.find(stream);
    if (found == calls_.end() || found->second == nullptr) return;  // gone meanwhile
    call = found->second->call;
    credit = found->second->hello.credit_bytes();
    const auto of_slave = lanes_.find(found->second->hello.member());
    if (of_slave == lanes_.end()) return;  // it stops
    lane = of_slave->second.get();
    found->second->lane = lane;
  }
  lane->Take(std::move(call), start, history, credit);
}

void LogSender::Refuse(uint64_t stream, const absl::Status& why) {
  std::shared_ptr<FollowCall> call;
  {
    MutexLock lock(mutex_);
    const auto found = calls_.find(stream);
    if (found != calls_.end() && found->second != nullptr) call = found->second->call;
  }
  if (call != nullptr) call->EndNow(why);
}

void LogSender::Advance(const LogExtent& extent) {
  {
    MutexLock lock(mutex_);
    extent_ = extent;
  }
  for (Lane* const lane : Lanes()) lane->Advance(extent);
}

void LogSender::DropAll(const absl::Status& why) {
  for (Lane* const lane : Lanes()) lane->Drop(why);
}

void LogSender::Stop() {
  std::vector<std::shared_ptr<FollowCall>> open;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [number, call] : calls_) {
      if (call != nullptr) open.push_back(call->call);
    }
  }
  for (Lane* const lane : Lanes()) lane->Stop(Stopping());
  for (const std::shared_ptr<FollowCall>& call : open) call->EndNow(Stopping());
  open.clear();
  MutexLock lock(mutex_);
  while (!calls_.empty()) gone_.Wait(mutex_);
}

}  // namespace dunlin::replicator
