#include "services/relay/relay.h"

#include <grpcpp/generic/generic_stub.h>
#include <pthread.h>

#include <algorithm>
#include <string_view>

namespace dunlin {
namespace {

constexpr char kHops[] = "x-dunlin-hops";
// A message with the largest body that a broker may be set to take; and what a broker answers to
// other calls about messages: a line for each of them.
constexpr int kMostMessageBytes = 130 << 20;
constexpr char kMostAnswerBytes[] = R"({"methodConfig": [
  {"name": [{"service": "apache.rocketmq.v2.MessagingService", "method": "ReceiveMessage"},
            {"service": "apache.rocketmq.v2.MessagingService", "method": "PullMessage"}]},
  {"name": [{}], "maxResponseMessageBytes": 1048576}]})";
// Of a caller that waits for ever.
constexpr std::chrono::seconds kLongest{30};
constexpr std::chrono::minutes kLongestOfPoller{2};
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

// A server's gRPC takes any bytes from the network; a client's ends the process at those that are
// none of a header.
bool MaySend(std::string_view name, std::string_view value) {
  const bool legal_name = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
  return legal_name &&
         (name.ends_with("-bin") ||
          std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; }));
}

}  // namespace

struct Relay::UnaryCall : Call {
  grpc::ByteBuffer answer;
  Done done;
};

class Relay::StreamCall final : public Call,
                                public Stream,
                                public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  StreamCall(Relay& relay, std::shared_ptr<Reader> reader)
      : relay_(relay), reader_(std::move(reader)) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
    grpc::GenericStub(channel).PrepareBidiStreamingCall(&context, method, {}, this);
    AddHold();  // Next comes from outside of reactions
    reader_->OnStart(*this);
    StartWriteLast(&request, {});
    StartRead(&message_);
    StartCall();
  }
  void Next() override { StartRead(&message_); }
  void Cancel() override { context.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    answered = true;
    reader_->OnMessage(message_);
  }
  void OnDone(const grpc::Status& status) override {
    reader_->OnEnd(status);
    relay_.End(this);
  }

 private:
  Relay& relay_;
  const std::shared_ptr<Reader> reader_;
  grpc::ByteBuffer message_;
};

Relay::Caller Relay::CallerOf(const grpc::CallbackServerContext& context) {
  Caller caller;
  for (const auto& [name, value] : context.client_metadata()) {
    const std::string_view key(name.data(), name.size());
    if (key == kHops) caller.was_passed_on = true;
    const std::string_view text(value.data(), value.size());
    if (IsOfCaller(key) && MaySend(key, text)) caller.headers.emplace_back(key, text);
  }
  caller.deadline = context.deadline();
  return caller;
}

Relay::Relay(const Limits& limits, std::shared_ptr<grpc::ChannelCredentials> credentials)
    : limits_(limits), credentials_(std::move(credentials)), dropper_([this] { DropLoop(); }) {
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
  arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
  arguments.SetServiceConfigJSON(kMostAnswerBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  // On Kubernetes a member that comes back has another address under its name.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLongestReconnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Else the third ping of those in a row waits until there is something else to send.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(address, credentials_, arguments);
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

bool Relay::HasRoomFor(const Call& call) const {
  const Load& load = loads_[static_cast<size_t>(call.kind)];
  const size_t limit = call.kind == Kind::kPoll ? limits_.polls : limits_.calls;
  return load.calls == 0 ||
         (load.calls < limit && load.bytes + call.request.Length() <= limits_.bytes);
}

grpc::Status Relay::Begin(const std::string& address, const Caller& caller, Call& call,
                          std::shared_ptr<grpc::Channel>& channel) {
  if (caller.was_passed_on) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            "the call was passed on before: the servers do not agree on where it belongs"};
  }
  if (call.kind == Kind::kPoll &&
      caller.deadline > std::chrono::system_clock::now() + kLongestOfPoller) {
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "a call that waits for messages has to have a deadline in two minutes at most"};
  }
  call.context.AddMetadata(kHops, "1");
  for (const auto& [name, value] : caller.headers) call.context.AddMetadata(name, value);
  call.context.set_deadline(std::min(caller.deadline, std::chrono::system_clock::now() + kLongest));
  MutexLock lock(mutex_);
  if (stopped_) return {grpc::StatusCode::UNAVAILABLE, "the server stops"};
  if (!HasRoomFor(call) || (channel = ChannelTo(address)) == nullptr) {
    return {grpc::StatusCode::RESOURCE_EXHAUSTED,
            "too many calls are passed on at this time; try again later, or ask the broker"};
  }
  calls_.insert(&call);
  Load& load = loads_[static_cast<size_t>(call.kind)];
  ++load.calls;
  load.bytes += call.request.Length();
  return grpc::Status::OK;
}

template <typename AnyCall>
void Relay::End(AnyCall* call) {
  // All of it before Stop returns: also the call's hold on its channel.
  MutexLock lock(mutex_);
  calls_.erase(call);
  Load& load = loads_[static_cast<size_t>(call->kind)];
  --load.calls;
  load.bytes -= call->request.Length();
  delete call;
  changed_.SignalAll();
}

void Relay::Pass(const std::string& address, const std::string& method, const Caller& caller,
                 const grpc::ByteBuffer& request, Done done) {
  std::shared_ptr<grpc::Channel> channel;
  auto call = std::make_unique<UnaryCall>();
  call->request = request;
  const grpc::Status begun = Begin(address, caller, *call, channel);
  if (!begun.ok()) return done(begun, {});
  UnaryCall* const started = call.release();  // End deletes it
  started->done = std::move(done);
  grpc::GenericStub(channel).UnaryCall(&started->context, method, {}, &started->request,
                                       &started->answer, [this, started](const auto& status) {
                                         started->done(status, started->answer);
                                         End(started);
                                       });
}

void Relay::PassStream(const std::string& address, const std::string& method, Kind kind,
                       const Caller& caller, const grpc::ByteBuffer& request,
                       std::shared_ptr<Reader> reader) {
  std::shared_ptr<grpc::Channel> channel;
  auto call = std::make_unique<StreamCall>(*this, reader);
  call->kind = kind;
  call->request = request;
  const grpc::Status begun = Begin(address, caller, *call, channel);
  if (!begun.ok()) return reader->OnEnd(begun);
  call.release()->Start(channel, method);  // End deletes it
}

void Relay::CancelPolls() {
  MutexLock lock(mutex_);
  for (Call* call : calls_) {
    if (call->kind == Kind::kPoll && !call->answered) call->context.TryCancel();
  }
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
