#include "services/broker/rpc/watch_routes_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/call_checks.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::broker {
namespace {

// Topics of one stream; each takes memory.
constexpr size_t kMaxWatched = 131'072;
// Topics of one request; each may be answered with a text.
constexpr int kMaxPerRequest = 10'000;
// Routes of one response: 100 KiB or so.
constexpr size_t kBatch = 512;

}  // namespace

WatchRoutesCall::WatchRoutesCall(RouteSource& routes, OpenStreams& open_streams,
                                 const grpc::CallbackServerContext& context)
    : routes_(routes),
      open_streams_(open_streams),
      call_(ReadCallContext(routes.access(), context)),
      group_watcher_(*this) {
  viewer_.zone = call_.zone;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchRoutesCall::Start(
    RouteSource& routes, OpenStreams& open_streams, const grpc::CallbackServerContext& context) {
  auto call = std::shared_ptr<WatchRoutesCall>(new WatchRoutesCall(routes, open_streams, context));
  call->self_ = call;
  call->StartSendInitialMetadata();
  if (const absl::Status known = CheckCaller(call->call_); !known.ok()) {
    call->End(BrokenStream(known));
  } else {
    open_streams.Add(call);
    call->StartRead(&call->received_);
  }
  return call.get();
}

void WatchRoutesCall::OnReadDone(bool ok) {
  if (!ok) return End(grpc::Status::OK);  // a client that says no more has gone
  if (const absl::Status handled = Handle(received_); !handled.ok())
    return End(BrokenStream(handled));
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
  viewer_.endpoints = request.endpoints();
  for (const std::string& name : routes_.FirstGroups()) {
    if (!MeetGroup(name)) continue;
    MutexLock lock(mutex_);
    groups_[name] = true;
    marked_groups_.push_back(name);
  }
  return absl::OkStatus();
}

void WatchRoutesCall::Watch(const nameservice::v1::WatchedTopic& topic) {
  absl::Status status = CheckTopicName(call_, topic.topic());
  if (status.ok()) {
    status = routes_.access().Check(
        call_.caller, TopicNeed(BitOf(Action::kPub) | BitOf(Action::kSub),
                                NamespaceOf(call_, topic.topic()), topic.topic().name()));
  }
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
  if (routes_.topic_watchers().Add(qualified_name, shared_from_this())) return absl::OkStatus();
  MutexLock lock(mutex_);
  Withhold(watched_[qualified_name], false);
  watched_.erase(qualified_name);
  return PublicError(
      PublicCode::kTooManyRequests,
      "the server watches as many topics for its clients as it can; try again later");
}

void WatchRoutesCall::Unwatch(const apache::rocketmq::v2::Resource& topic) {
  const std::string qualified_name = QualifiedName(NamespaceOf(call_, topic), topic.name());
  routes_.topic_watchers().Remove(qualified_name, *this);
  MutexLock lock(mutex_);
  const auto found = watched_.find(qualified_name);
  if (found == watched_.end()) return;
  Withhold(found->second, false);
  watched_.erase(found);
}

void WatchRoutesCall::Withhold(Watched& watched, bool withheld) {
  if (watched.withheld == withheld) return;
  watched.withheld = withheld;
  withheld_ += withheld ? size_t{1} : ~size_t{0};
}

bool WatchRoutesCall::MeetGroup(const std::string& name) {
  {
    MutexLock lock(mutex_);
    if (!groups_.try_emplace(name, false).second) return false;
  }
  // When there is no room the stream tells of it all the same, but not of its changes: a client
  // then goes by what the broker answers, as one without a watch does.
  routes_.group_watchers().Add(name,
                               std::shared_ptr<TopicWatcher>(shared_from_this(), &group_watcher_));
  return true;
}

void WatchRoutesCall::OnGroupChanged(std::string_view name) {
  {
    MutexLock lock(mutex_);
    const auto found = groups_.find(name);
    if (found == groups_.end() || std::exchange(found->second, true)) return;
    marked_groups_.emplace_back(name);
  }
  Pump();
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
  while (std::optional<News> news = TakeMarked()) {
    LookUp(*news);
    Tell(*std::move(news));
  }
}

std::optional<WatchRoutesCall::News> WatchRoutesCall::TakeMarked() {
  MutexLock lock(mutex_);
  News news;
  if (!writing_ && !finished_ && !end_.has_value()) {
    while (!marked_.empty() && news.topics.size() < kBatch) {
      auto found = watched_.find(marked_.front());
      if (found != watched_.end() && std::exchange(found->second.marked, false)) {
        news.topics.push_back(std::move(marked_.front()));
      }
      marked_.pop_front();
    }
    while (!marked_groups_.empty() && news.groups.size() < kBatch) {
      groups_[marked_groups_.front()] = false;
      news.groups.push_back(std::move(marked_groups_.front()));
      marked_groups_.pop_front();
    }
    if (!news.topics.empty() || !news.groups.empty() || answering_) return news;
  }
  pumping_ = false;
  if (end_.has_value() && !writing_ && !finished_) {
    finished_ = true;
    Finish(*end_);
  }
  return std::nullopt;
}

void WatchRoutesCall::LookUp(News& news) {
  news.routes.reserve(news.topics.size());
  for (const std::string& qualified_name : news.topics) {
    news.routes.push_back(routes_.FindRoute(viewer_, qualified_name));
    if (!news.routes.back().has_value()) continue;
    for (const auto& queues : news.routes.back()->queues()) {
      if (MeetGroup(queues.broker())) news.groups.push_back(queues.broker());
    }
  }
  // After its watch has begun: a change in between is told.
  for (const std::string& name : news.groups) {
    news.found.push_back(routes_.FindGroup(viewer_, name));
  }
}

void WatchRoutesCall::FillRoutes(News& news, nameservice::v1::WatchRoutesResponse& response) {
  for (size_t i = 0; i < news.topics.size(); ++i) {
    auto found = watched_.find(news.topics[i]);
    if (found == watched_.end()) continue;
    std::optional<Route>& route = news.routes[i];
    // A mark: it may be said by now, and the turn to do so comes.
    if (!found->second.marked) Withhold(found->second, !route.has_value());
    if (!route.has_value() || found->second.version == route->version()) continue;
    found->second.version = route->version();
    *response.add_routes() = *std::move(route);
  }
  while (!refused_.empty() && response.routes_size() < static_cast<int>(kBatch)) {
    *response.add_routes() = std::move(refused_.front());
    refused_.pop_front();
  }
}

void WatchRoutesCall::Tell(News news) {
  MutexLock lock(mutex_);
  nameservice::v1::WatchRoutesResponse response;
  FillRoutes(news, response);
  for (BrokerGroup& group : news.found) *response.add_brokers() = std::move(group);
  const bool handled = answering_ && marked_.empty() && refused_.empty();
  if (handled) {
    answering_ = false;
    ++handled_;
  }
  const bool answers = withheld_ == 0 && marked_.empty() && !answering_ && answered_ != handled_;
  if (answers) answered_ = handled_;
  if (finished_ || end_.has_value()) return;
  if (response.routes_size() > 0 || response.brokers_size() > 0 || answers) {
    response.set_answered_requests(answered_);
    sending_ = Serialize(response);
    writing_ = true;
    StartWrite(&sending_);
  }
  if (handled) StartRead(&received_);
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
  StringMap<bool> groups;
  {
    MutexLock lock(mutex_);
    finished_ = true;
    watched.swap(watched_);
    groups.swap(groups_);
    marked_.clear();
    marked_groups_.clear();
  }
  for (const auto& [qualified_name, state] : watched) {
    routes_.topic_watchers().Remove(qualified_name, *this);
  }
  for (const auto& [name, marked] : groups) routes_.group_watchers().Remove(name, group_watcher_);
  self_.reset();  // who tells of a change may hold the last reference for a moment
}

}  // namespace dunlin::broker
