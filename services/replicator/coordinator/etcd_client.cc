#include "services/replicator/coordinator/etcd_client.h"

#include <chrono>
#include <utility>

#include "services/base/check.h"

namespace dunlin::replicator {
namespace {

grpc::Status Stopping() { return {grpc::StatusCode::CANCELLED, "the coordinator is stopping"}; }

// etcd refuses pings that come more often than every five seconds.
grpc::ChannelArguments ChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 6000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  // Else the third ping of those in a row waits until there is something else to send: a watch is
  // but listened to.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // One that is back under its name may have another address.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  return arguments;
}

// etcd's own tokens live for five minutes after their last use, others as long as it is told to.
constexpr Duration kTokenAge = std::chrono::minutes(1);

// Of codes that it has for other mistakes, too.
bool TokenIsRefused(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
         status.error_message().find("auth store is old") != std::string::npos ||
         status.error_message().find("user name is empty") != std::string::npos;
}

}  // namespace

// Deletes itself after its callback.
template <typename Response>
class EtcdClient::UnaryCall final : public GrpcLoop::Event {
 public:
  UnaryCall(EtcdClient& client, Done<Response> done) : client_(client), done_(std::move(done)) {
    client_.Prepare(context_);
    context_.set_deadline(GrpcLoop::Deadline(client_.call_timeout_));
  }
  grpc::ClientContext* Context() { return &context_; }
  void Start(std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader) {
    reader_ = std::move(reader);
    reader_->Finish(&response_, &status_, this);
  }
  void Proceed(bool) override {
    const std::unique_ptr<UnaryCall> self(this);
    client_.Forget(context_);
    client_.LookAt(status_);
    done_(status_, response_);
  }

 private:
  EtcdClient& client_;
  Done<Response> done_;
  grpc::ClientContext context_;
  Response response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
};

// Start, write the one request, read the one response, end. Deletes itself after its callback.
class EtcdClient::KeepAliveCall final : public GrpcLoop::Event {
 public:
  using Request = etcdserverpb::LeaseKeepAliveRequest;
  using Response = etcdserverpb::LeaseKeepAliveResponse;

  KeepAliveCall(EtcdClient& client, int64_t id, Done<Response> done)
      : client_(client), done_(std::move(done)) {
    request_.set_id(id);
    client_.Prepare(context_);
    context_.set_deadline(GrpcLoop::Deadline(client_.call_timeout_));
    stream_ = client_.endpoints_[client_.current_].lease->AsyncLeaseKeepAlive(
        &context_, client_.loop_.queue(), this);
  }

  void Proceed(bool ok) override {
    if (!ok || client_.loop_.stopping()) step_ = step_ == Step::kFinish ? step_ : Step::kBroken;
    switch (step_) {
      case Step::kStart:
        step_ = Step::kWrite;
        stream_->WriteLast(request_, grpc::WriteOptions(), this);
        return;
      case Step::kWrite:
        step_ = Step::kRead;
        stream_->Read(&response_, this);
        return;
      case Step::kRead:
        answered_ = true;
        break;
      case Step::kBroken:
        break;
      case Step::kFinish:
        return End(answered_ ? grpc::Status::OK : status_);
    }
    if (client_.loop_.stopping()) return End(Stopping());
    step_ = Step::kFinish;
    // The answer is there: what becomes of the stream does not matter.
    if (answered_) context_.TryCancel();
    stream_->Finish(&status_, this);
  }

 private:
  enum class Step { kStart, kWrite, kRead, kBroken, kFinish };

  void End(const grpc::Status& status) {
    const std::unique_ptr<KeepAliveCall> self(this);
    client_.Forget(context_);
    client_.LookAt(status);
    // A stream that ended well without an answer has none.
    done_(status.ok() && !answered_
              ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended without an answer")
              : status,
          response_);
  }

  EtcdClient& client_;
  Done<Response> done_;
  Request request_;
  Response response_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> stream_;
  Step step_ = Step::kStart;
  bool answered_ = false;
};

class EtcdClient::WatchCall final : public GrpcLoop::Event, public EtcdClient::WatchStream {
 public:
  using Request = etcdserverpb::WatchRequest;
  using Response = etcdserverpb::WatchResponse;

  WatchCall(EtcdClient& client, const etcdserverpb::WatchCreateRequest& request,
            OnWatched on_response, OnWatchEnd on_end)
      : client_(client), on_response_(std::move(on_response)), on_end_(std::move(on_end)) {
    *request_.mutable_create_request() = request;
    client_.Prepare(context_);
    // A member of etcd that has lost its leader ends the stream instead of falling silent.
    context_.AddMetadata("hasleader", "true");
    stream_ = client_.endpoints_[client_.current_].watch->AsyncWatch(&context_,
                                                                     client_.loop_.queue(), this);
  }

  void Cancel() override {
    cancelled_ = true;
    context_.TryCancel();
  }

  void Proceed(bool ok) override {
    if (client_.loop_.stopping()) return End(Stopping());
    if (!ok && step_ != Step::kFinish) {
      step_ = Step::kFinish;
      stream_->Finish(&status_, this);
      return;
    }
    switch (step_) {
      case Step::kStart:
        step_ = Step::kWrite;
        stream_->Write(request_, this);
        return;
      case Step::kWrite:
        step_ = Step::kRead;
        break;
      case Step::kRead:
        if (!cancelled_) on_response_(response_);
        break;
      case Step::kFinish:
        return End(status_);
    }
    if (client_.loop_.stopping()) return End(Stopping());
    response_.Clear();
    stream_->Read(&response_, this);
  }

 private:
  enum class Step { kStart, kWrite, kRead, kFinish };

  void End(const grpc::Status& status) {
    const std::unique_ptr<WatchCall> self(this);
    client_.Forget(context_);
    client_.LookAt(status);
    if (!cancelled_) on_end_(status);
  }

  EtcdClient& client_;
  OnWatched on_response_;
  OnWatchEnd on_end_;
  Request request_;
  Response response_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> stream_;
  Step step_ = Step::kStart;
  bool cancelled_ = false;
};

EtcdClient::EtcdClient(GrpcLoop& loop, const std::vector<std::string>& endpoints,
                       const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       EtcdLogin login, Duration call_timeout)
    : loop_(loop), login_(std::move(login)), call_timeout_(call_timeout) {
  CHECK(!endpoints.empty());
  for (const std::string& name : endpoints) {
    const auto channel = grpc::CreateCustomChannel(name, credentials, ChannelArguments());
    endpoints_.push_back(
        {name, etcdserverpb::KV::NewStub(channel), etcdserverpb::Lease::NewStub(channel),
         etcdserverpb::Watch::NewStub(channel), etcdserverpb::Auth::NewStub(channel)});
  }
}

EtcdClient::~EtcdClient() { CHECK(live_.empty()); }

void EtcdClient::Prepare(grpc::ClientContext& context) {
  live_.insert(&context);
  if (!token_.empty()) context.AddMetadata("token", token_);
}

// ---- the token ----

void EtcdClient::LogIn(Ready ready) {
  if (loop_.stopping()) return ready(Stopping());
  if (login_.user.empty() || !token_.empty()) return ready(grpc::Status::OK);
  waiting_.push_back(std::move(ready));
  if (waiting_.size() == 1) Authenticate();
}

void EtcdClient::Authenticate() {
  etcdserverpb::AuthenticateRequest request;
  request.set_name(login_.user);
  request.set_password(login_.password);
  auto* call = new UnaryCall<etcdserverpb::AuthenticateResponse>(
      *this, [this](const grpc::Status& status, const etcdserverpb::AuthenticateResponse& answer) {
        OnAuthenticated(status, answer);
      });
  call->Start(
      endpoints_[current_].auth->AsyncAuthenticate(call->Context(), request, loop_.queue()));
}

void EtcdClient::OnAuthenticated(const grpc::Status& status,
                                 const etcdserverpb::AuthenticateResponse& answer) {
  const grpc::Status outcome = loop_.stopping() ? Stopping() : status;
  if (outcome.ok()) {
    token_ = answer.token();
    loop_.After(kTokenAge, [this, number = ++tokens_] {
      if (number == tokens_) token_.clear();
    });
  }
  for (Ready& ready : std::exchange(waiting_, {})) ready(outcome);
}

void EtcdClient::LookAt(const grpc::Status& status) {
  if (TokenIsRefused(status)) token_.clear();
}

// ---- the calls ----

void EtcdClient::CancelAll() {
  for (grpc::ClientContext* context : live_) context->TryCancel();
}

void EtcdClient::Range(const etcdserverpb::RangeRequest& request,
                       Done<etcdserverpb::RangeResponse> done) {
  LogIn([this, request, done = std::move(done)](const grpc::Status& status) mutable {
    if (!status.ok()) return done(status, {});
    auto* call = new UnaryCall<etcdserverpb::RangeResponse>(*this, std::move(done));
    call->Start(endpoints_[current_].kv->AsyncRange(call->Context(), request, loop_.queue()));
  });
}

void EtcdClient::Txn(const etcdserverpb::TxnRequest& request,
                     Done<etcdserverpb::TxnResponse> done) {
  LogIn([this, request, done = std::move(done)](const grpc::Status& status) mutable {
    if (!status.ok()) return done(status, {});
    auto* call = new UnaryCall<etcdserverpb::TxnResponse>(*this, std::move(done));
    call->Start(endpoints_[current_].kv->AsyncTxn(call->Context(), request, loop_.queue()));
  });
}

void EtcdClient::LeaseGrant(int64_t ttl_seconds, Done<etcdserverpb::LeaseGrantResponse> done) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(ttl_seconds);
  LogIn([this, request, done = std::move(done)](const grpc::Status& status) mutable {
    if (!status.ok()) return done(status, {});
    auto* call = new UnaryCall<etcdserverpb::LeaseGrantResponse>(*this, std::move(done));
    call->Start(
        endpoints_[current_].lease->AsyncLeaseGrant(call->Context(), request, loop_.queue()));
  });
}

void EtcdClient::LeaseRevoke(int64_t id, Done<etcdserverpb::LeaseRevokeResponse> done) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(id);
  LogIn([this, request, done = std::move(done)](const grpc::Status& status) mutable {
    if (!status.ok()) return done(status, {});
    auto* call = new UnaryCall<etcdserverpb::LeaseRevokeResponse>(*this, std::move(done));
    call->Start(
        endpoints_[current_].lease->AsyncLeaseRevoke(call->Context(), request, loop_.queue()));
  });
}

void EtcdClient::LeaseKeepAlive(int64_t id, Done<etcdserverpb::LeaseKeepAliveResponse> done) {
  LogIn([this, id, done = std::move(done)](const grpc::Status& status) mutable {
    if (!status.ok()) return done(status, {});
    new KeepAliveCall(*this, id, std::move(done));
  });
}

EtcdClient::WatchStream* EtcdClient::Watch(const etcdserverpb::WatchCreateRequest& request,
                                           OnWatched on_response, OnWatchEnd on_end) {
  CHECK(!loop_.stopping());
  return new WatchCall(*this, request, std::move(on_response), std::move(on_end));
}

}  // namespace dunlin::replicator
