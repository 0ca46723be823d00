#include "services/relay/relay.h"

#include <grpcpp/generic/generic_stub.h>
#include <pthread.h>

#include <algorithm>
#include <string_view>

namespace dunlin {
namespace {

constexpr char kHops[] = "x-dunlin-hops";
// What a broker answers to a call about messages: a line for each of them.
constexpr int kMostAnswerBytes = 1 << 20;
// Of a caller that waits for ever.
constexpr std::chrono::seconds kLongest{30};
constexpr int kIdleMs = 60'000;
// A master that is elsewhere, or back, is found soon; one whose machine is gone is noticed, where
// nothing breaks the connection.
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 1'000;
// For one attempt to connect: what gRPC calls the least time between two is the most that one gets.
constexpr int kConnectMs = 1'000;
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;

bool IsOfCaller(std::string_view name) {
  return name.starts_with("x-mq-") || name == "x-dunlin-zone" || name == "authorization";
}

}  // namespace

Relay::Caller Relay::CallerOf(const grpc::CallbackServerContext& context) {
  Caller caller;
  for (const auto& [name, value] : context.client_metadata()) {
    const std::string_view key(name.data(), name.size());
    if (key == kHops) caller.was_passed_on = true;
    if (!IsOfCaller(key)) continue;
    caller.headers.emplace_back(key, std::string_view(value.data(), value.size()));
  }
  caller.deadline = context.deadline();
  return caller;
}

Relay::Relay(const Limits& limits) : limits_(limits), dropper_([this] { DropLoop(); }) {
  pthread_setname_np(dropper_.native_handle(), "relay-drop");
}

std::shared_ptr<grpc::Channel> Relay::ChannelTo(const std::string& address) {
  const auto known = channels_.find(address);
  if (known != channels_.end()) {
    known->second.used = ++uses_;
    return known->second.channel;
  }
  if (channels_.size() >= limits_.channels && !DropOne()) return nullptr;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, kIdleMs);
  arguments.SetMaxReceiveMessageSize(kMostAnswerBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  // On Kubernetes a member that comes back has another address under its name.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLongestReconnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  channels_[address] = {.channel = channel, .used = ++uses_};
  return channel;
}

bool Relay::DropOne() {
  auto oldest = channels_.end();
  for (auto known = channels_.begin(); known != channels_.end(); ++known) {
    if (known->second.channel.use_count() > 1) continue;  // a call is under way
    if (oldest == channels_.end() || known->second.used < oldest->second.used) oldest = known;
  }
  if (oldest == channels_.end()) return false;
  dropped_.push_back(std::move(oldest->second.channel));
  channels_.erase(oldest);
  changed_.SignalAll();
  return true;
}

void Relay::DropLoop() {
  for (;;) {
    std::vector<std::shared_ptr<grpc::Channel>> dropped;  // goes behind the lock
    MutexLock lock(mutex_);
    while (!stopped_ && dropped_.empty()) changed_.Wait(mutex_);
    if (stopped_) return;  // the rest goes with the relay
    dropped.swap(dropped_);
  }
}

bool Relay::HasRoomFor(const grpc::ByteBuffer& request) const {
  if (calls_.empty()) return true;
  return calls_.size() < limits_.calls && bytes_ + request.Length() <= limits_.bytes;
}

void Relay::Pass(const std::string& address, const std::string& method, const Caller& caller,
                 const grpc::ByteBuffer& request, Done done) {
  grpc::Status refused;
  std::shared_ptr<grpc::Channel> channel;
  auto call = std::make_unique<Call>();
  if (caller.was_passed_on) {
    refused = {grpc::StatusCode::FAILED_PRECONDITION,
               "the call was passed on before: the servers do not agree on where it belongs"};
  } else {
    MutexLock lock(mutex_);
    if (stopped_) {
      refused = {grpc::StatusCode::UNAVAILABLE, "the server stops"};
    } else if (!HasRoomFor(request) || (channel = ChannelTo(address)) == nullptr) {
      refused = {grpc::StatusCode::RESOURCE_EXHAUSTED,
                 "too many calls are passed on at this time; try again later, or ask the broker"};
    } else {
      calls_.insert(call.get());
      bytes_ += request.Length();
    }
  }
  if (!refused.ok()) return done(refused, {});
  Call* const started = call.release();  // End deletes it
  started->request = request;
  started->done = std::move(done);
  started->context.AddMetadata(kHops, "1");
  for (const auto& [name, value] : caller.headers) started->context.AddMetadata(name, value);
  started->context.set_deadline(
      std::min(caller.deadline, std::chrono::system_clock::now() + kLongest));
  grpc::GenericStub(channel).UnaryCall(
      &started->context, method, {}, &started->request, &started->answer,
      [this, started](const grpc::Status& status) { End(started, status); });
}

void Relay::End(Call* call, const grpc::Status& status) {
  call->done(status, call->answer);
  // All of it before Stop returns: the callers' done, and the call's hold on its channel.
  MutexLock lock(mutex_);
  calls_.erase(call);
  bytes_ -= call->request.Length();
  delete call;
  changed_.SignalAll();
}

void Relay::Cancel() {
  MutexLock lock(mutex_);
  stopped_ = true;
  for (Call* call : calls_) call->context.TryCancel();
  changed_.SignalAll();
}

void Relay::Stop() {
  Cancel();
  {
    MutexLock lock(mutex_);
    while (!calls_.empty()) changed_.Wait(mutex_);
  }
  if (dropper_.joinable()) dropper_.join();
}

}  // namespace dunlin
