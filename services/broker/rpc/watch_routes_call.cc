#include "services/broker/rpc/watch_routes_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/route_calls.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/rpc/topic_route.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {
namespace {

// Topics of one stream; each takes memory.
constexpr size_t kMaxWatched = 131'072;
// Topics of one request; each may be answered with a text.
constexpr int kMaxPerRequest = 10'000;
// Routes of one response: 100 KiB or so.
constexpr size_t kBatch = 512;

grpc::Status Broken(const absl::Status& status) {
  return {grpc::StatusCode::INVALID_ARGUMENT, std::string(status.message())};
}

}  // namespace

WatchRoutesCall::WatchRoutesCall(ServiceContext& services, OpenStreams& open_streams,
                                 const grpc::CallbackServerContext& context)
    : services_(services), open_streams_(open_streams), call_(ReadCallContext(context)) {}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchRoutesCall::Start(
    ServiceContext& services, OpenStreams& open_streams,
    const grpc::CallbackServerContext& context) {
  auto call =
      std::shared_ptr<WatchRoutesCall>(new WatchRoutesCall(services, open_streams, context));
  call->self_ = call;
  call->StartSendInitialMetadata();
  if (const absl::Status known = CheckClientId(call->call_); !known.ok()) {
    call->End(Broken(known));
  } else {
    open_streams.Add(call);
    call->StartRead(&call->received_);
  }
  return call.get();
}

void WatchRoutesCall::OnReadDone(bool ok) {
  if (!ok) return End(grpc::Status::OK);  // a client that says no more has gone
  if (const absl::Status handled = Handle(received_); !handled.ok()) return End(Broken(handled));
  {
    MutexLock lock(mutex_);
    answering_ = true;
  }
  Pump();
}

absl::Status WatchRoutesCall::Handle(const grpc::ByteBuffer& bytes) {
  RETURN_IF_ERROR(CheckRequestSize(bytes));
  Request request;
  RETURN_IF_ERROR(Parse(bytes, request));
  if (request.watch_size() + request.unwatch_size() > kMaxPerRequest) {
    return absl::InvalidArgumentError(
        fmt::format("a request with {} topics; send several with at most {} each",
                    request.watch_size() + request.unwatch_size(), kMaxPerRequest));
  }
  if (!std::exchange(opened_, true)) {
    RETURN_IF_ERROR(Open(request));
  } else if (request.has_endpoints()) {
    return absl::InvalidArgumentError("`endpoints` belongs into the first request of a stream");
  }
  for (const auto& topic : request.unwatch()) Unwatch(topic);
  for (const auto& topic : request.watch()) Watch(topic);
  return absl::OkStatus();
}

absl::Status WatchRoutesCall::Open(const Request& request) {
  RETURN_IF_ERROR(CheckEndpoints(request.endpoints()));
  nameservice::v1::BrokerGroup broker = BrokerGroupOf(services_, request.endpoints());
  MutexLock lock(mutex_);
  broker_ = std::move(broker);
  return absl::OkStatus();
}

void WatchRoutesCall::Watch(const nameservice::v1::WatchedTopic& topic) {
  absl::Status status = CheckTopicName(call_, topic.topic());
  if (status.ok()) {
    status = Add(QualifiedName(NamespaceOf(call_, topic.topic()), topic.topic().name()),
                 topic.version());
  }
  if (status.ok()) return;
  Route refused;
  *refused.mutable_topic() = topic.topic();
  refused.mutable_topic()->set_resource_namespace(std::string(NamespaceOf(call_, topic.topic())));
  *refused.mutable_status() = ToWire(status);
  MutexLock lock(mutex_);
  refused_.push_back(std::move(refused));
}

absl::Status WatchRoutesCall::Add(const std::string& qualified_name, uint64_t version) {
  {
    MutexLock lock(mutex_);
    if (watched_.size() >= kMaxWatched && !watched_.contains(qualified_name)) {
      return PublicError(
          PublicCode::kTooManyRequests,
          fmt::format("the stream watches {} topics already; open another one", kMaxWatched));
    }
    Watched& watched = watched_[qualified_name];
    watched.version = version;
    if (!std::exchange(watched.marked, true)) marked_.push_back(qualified_name);
  }
  // Before it is looked up: a change in between is told.
  if (services_.topics.watchers().Add(qualified_name, shared_from_this())) return absl::OkStatus();
  MutexLock lock(mutex_);
  watched_.erase(qualified_name);
  return PublicError(
      PublicCode::kTooManyRequests,
      "the server watches as many topics for its clients as it can; try again later");
}

void WatchRoutesCall::Unwatch(const apache::rocketmq::v2::Resource& topic) {
  const std::string qualified_name = QualifiedName(NamespaceOf(call_, topic), topic.name());
  services_.topics.watchers().Remove(qualified_name, *this);
  MutexLock lock(mutex_);
  watched_.erase(qualified_name);
}

void WatchRoutesCall::OnTopicChanged(std::string_view qualified_name) {
  {
    MutexLock lock(mutex_);
    auto found = watched_.find(qualified_name);
    if (found == watched_.end() || std::exchange(found->second.marked, true)) return;
    marked_.emplace_back(qualified_name);
  }
  Pump();
}

void WatchRoutesCall::Pump() {
  {
    MutexLock lock(mutex_);
    if (pumping_) return;  // whoever pumps looks again before it stops
    pumping_ = true;
  }
  while (const std::optional<std::vector<std::string>> topics = TakeMarked()) Tell(LookUp(*topics));
}

std::optional<std::vector<std::string>> WatchRoutesCall::TakeMarked() {
  MutexLock lock(mutex_);
  std::vector<std::string> topics;
  if (!writing_ && !finished_ && !end_.has_value()) {
    while (!marked_.empty() && topics.size() < kBatch) {
      auto found = watched_.find(marked_.front());
      if (found != watched_.end() && std::exchange(found->second.marked, false)) {
        topics.push_back(std::move(marked_.front()));
      }
      marked_.pop_front();
    }
    if (!topics.empty() || answering_) return topics;
  }
  pumping_ = false;
  if (end_.has_value() && !writing_ && !finished_) {
    finished_ = true;
    Finish(*end_);
  }
  return std::nullopt;
}

std::vector<WatchRoutesCall::Route> WatchRoutesCall::LookUp(
    const std::vector<std::string>& topics) const {
  std::vector<Route> routes;
  routes.reserve(topics.size());
  for (const std::string& qualified_name : topics) {
    const auto [name_space, name] = SplitQualifiedName(qualified_name);
    routes.push_back(
        RouteOf(services_, qualified_name, services_.topics.FindTopic(name_space, name).get()));
  }
  return routes;
}

void WatchRoutesCall::Tell(std::vector<Route> routes) {
  MutexLock lock(mutex_);
  nameservice::v1::WatchRoutesResponse response;
  for (Route& route : routes) {
    auto found =
        watched_.find(QualifiedName(route.topic().resource_namespace(), route.topic().name()));
    if (found == watched_.end() || found->second.version == route.version()) continue;
    found->second.version = route.version();
    *response.add_routes() = std::move(route);
  }
  while (!refused_.empty() && response.routes_size() < static_cast<int>(kBatch)) {
    *response.add_routes() = std::move(refused_.front());
    refused_.pop_front();
  }
  const bool answers = answering_ && marked_.empty() && refused_.empty();
  if (answers) {
    answering_ = false;
    ++answered_;
  }
  if ((response.routes_size() == 0 && !answers) || finished_ || end_.has_value()) return;
  if (broker_.has_value()) *response.add_brokers() = *std::move(broker_);
  broker_.reset();
  response.set_answered_requests(answered_);
  sending_ = Serialize(response);
  writing_ = true;
  StartWrite(&sending_);
  if (answers) StartRead(&received_);
}

void WatchRoutesCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok && !end_.has_value()) {
      end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone");
    }
  }
  Pump();
}

void WatchRoutesCall::End(const grpc::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Pump();
}

void WatchRoutesCall::OnCancel() {
  End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
}

void WatchRoutesCall::EndForStop() {
  End({grpc::StatusCode::UNAVAILABLE, "the server stops; connect again"});
}

void WatchRoutesCall::OnDone() {
  open_streams_.Remove(this);
  StringMap<Watched> watched;
  {
    MutexLock lock(mutex_);
    finished_ = true;
    watched.swap(watched_);
    marked_.clear();
  }
  for (const auto& [qualified_name, state] : watched) {
    services_.topics.watchers().Remove(qualified_name, *this);
  }
  self_.reset();  // who tells of a change may hold the last reference for a moment
}

}  // namespace dunlin::broker
