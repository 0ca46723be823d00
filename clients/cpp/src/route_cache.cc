#include "clients/cpp/src/route_cache.h"

#include <grpcpp/generic/generic_stub.h>

#include <utility>
#include <vector>

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/endpoint.h"

namespace dunlin::internal {
namespace {

namespace ns = dunlin::nameservice::v1;
namespace v2 = apache::rocketmq::v2;

constexpr char kWatch[] = "/dunlin.nameservice.v1.RouteService/WatchRoutes";
constexpr char kQuery[] = "/apache.rocketmq.v2.MessagingService/QueryRoute";
// Of a request, which may have 1 MiB.
constexpr int kTopicsPerRequest = 1024;
constexpr std::chrono::seconds kQueryTimeout{10};
// How long the first answer may take while there are other access points.
constexpr std::chrono::seconds kSilence{2};
// Doubts within so long of each other are one.
constexpr std::chrono::milliseconds kDoubtInterval{500};

bool MayWrite(v2::Permission permission) {
  return permission != v2::READ && permission != v2::NONE;
}

}  // namespace

RouteCache::RouteCache(const Connection& connection, std::chrono::milliseconds poll_interval)
    : connection_(connection), poll_interval_(poll_interval) {}

RouteCache::~RouteCache() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    if (query_ != nullptr) query_->context.TryCancel();
  }
  connection_.ticker()->Forget(this);
  MutexLock lock(mutex_);
  while (stream_ != nullptr || query_ != nullptr || callbacks_ > 0) changed_.Wait(mutex_);
}

void RouteCache::Follow(const std::string& topic, RouteListener* listener) {
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.try_emplace(topic).first;
    const bool first = entry->second.listeners.empty();
    entry->second.listeners.insert(listener);
    if (entry->second.has_route) Announce(entry);
    if (state_ == State::kIdle) {
      Connect();
    } else if (first && state_ == State::kWatching) {
      to_watch_.push_back(topic);
    } else if (first) {
      AskFor(entry);
    }
  }
  Pump();
  Ask();
  Tell();
}

void RouteCache::Leave(const std::string& topic, const RouteListener* listener) {
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(topic);
    if (entry == entries_.end()) return;
    entry->second.listeners.erase(const_cast<RouteListener*>(listener));
    if (entry->second.listeners.empty()) Drop(entry);
  }
  Pump();
}

void RouteCache::Forget(const RouteListener* listener) {
  {
    MutexLock lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      entry->second.listeners.erase(const_cast<RouteListener*>(listener));
      entry = entry->second.listeners.empty() ? Drop(entry) : std::next(entry);
    }
    while (told_ == listener) changed_.Wait(mutex_);
  }
  Pump();
}

RouteCache::Entries::iterator RouteCache::Drop(Entries::iterator entry) {
  if (state_ == State::kWatching) to_leave_.push_back(entry->first);
  return entries_.erase(entry);
}

void RouteCache::Connect() {
  state_ = State::kWatching;
  heard_ = introduced_ = false;
  watched_at_ = connection_.access_point();
  reached_ = ParseEndpoint(connection_.endpoint());
  to_leave_.clear();
  to_watch_.clear();
  for (auto& [topic, entry] : entries_) {
    entry.refused = false;
    to_watch_.push_back(topic);
  }
  stream_ = ByteStream::Start(connection_, kWatch, *this);
  if (connection_.access_points() == 1) return;
  silent_until_ = steady_clock::now() + kSilence;
  connection_.ticker()->WakeAt(silent_until_, this);
}

bool RouteCache::NextRequest(ns::WatchRoutesRequest& request) {
  // What is left goes before what is followed: a topic may be both, one after the other.
  while (!to_leave_.empty() && request.unwatch_size() < kTopicsPerRequest) {
    connection_.Fill(to_leave_.front(), *request.add_unwatch());
    to_leave_.pop_front();
  }
  while (to_leave_.empty() && !to_watch_.empty() && request.watch_size() < kTopicsPerRequest) {
    const auto entry = entries_.find(to_watch_.front());
    if (entry != entries_.end()) {
      ns::WatchedTopic& watched = *request.add_watch();
      connection_.Fill(entry->first, *watched.mutable_topic());
      watched.set_version(entry->second.version);
    }
    to_watch_.pop_front();
  }
  if (request.watch_size() + request.unwatch_size() == 0) return false;
  const bool is_first = !std::exchange(introduced_, true);
  if (is_first && !reached_.addresses().empty()) *request.mutable_endpoints() = reached_;
  return true;
}

void RouteCache::Pump() {
  ns::WatchRoutesRequest request;
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    if (stream_ == nullptr || writing_ || !NextRequest(request)) return;
    writing_ = true;
    stream = stream_;
  }
  stream->Write(ToBytes(request));
}

void RouteCache::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  Pump();
}

void RouteCache::OnRead(grpc::ByteBuffer& bytes) {
  ns::WatchRoutesResponse response;
  const bool parsed = FromBytes(bytes, response);
  {
    MutexLock lock(mutex_);
    if (!parsed) return stream_->Cancel();
    heard_ = true;
    failures_ = 0;
    Take(response);
  }
  Tell();
}

void RouteCache::Take(ns::WatchRoutesResponse& response) {
  for (const ns::BrokerGroup& told : response.brokers()) {
    Group& group = groups_[told.name()];
    const bool is_served = told.members_size() > 0 && told.members(0).id() == 0;
    group.endpoint = is_served ? FormatEndpoint(told.members(0).endpoints()) : "";
    group.slaves.clear();
    for (const v2::Broker& member : told.members()) {
      if (member.id() == 0) continue;
      group.slaves.push_back({member.id(), FormatEndpoint(member.endpoints())});
    }
    group.read_only = told.read_only();
  }
  for (ns::Route& route : *response.mutable_routes()) Take(route);
  if (response.brokers().empty()) return;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->second.told.has_value()) Put(entry, Resolve(*entry->second.told));
  }
}

void RouteCache::Take(ns::Route& told) {
  if (told.topic().resource_namespace() != connection_.name_space()) return;
  const auto entry = entries_.find(told.topic().name());
  if (entry == entries_.end()) return;  // left meanwhile
  const v2::Code code = told.status().code();
  entry->second.refused = code != v2::OK && code != v2::TOPIC_NOT_FOUND;
  if (code == v2::TOO_MANY_REQUESTS) return ScheduleRound();
  if (entry->second.refused) return Refuse(entry, FromPublic(told.status()));
  entry->second.version = told.version();
  Put(entry, Resolve(told));
  entry->second.told = std::move(told);
}

Route RouteCache::Resolve(const ns::Route& told) const {
  Route route;
  if (told.status().code() != v2::OK) return route;
  route.status = absl::OkStatus();
  for (const ns::BrokerQueues& queues : told.queues()) {
    BrokerRoute& at = route.brokers.emplace_back();
    at.broker = queues.broker();
    at.queues = queues.queues();
    at.write_queues = queues.write_queues() > 0 ? queues.write_queues() : queues.queues();
    at.topic_id = queues.topic_id();
    if (!MayWrite(queues.permission())) at.write_queues = 0;
    const auto group = groups_.find(at.broker);
    // Of a server that tells of no brokers nothing is known but that it is one.
    if (group == groups_.end()) continue;
    at.endpoint = group->second.endpoint;
    at.slaves = group->second.slaves;
    if (group->second.read_only) at.write_queues = 0;
    if (at.endpoint.empty()) route.brokers.pop_back();
  }
  // Nobody could tell the server how it was reached: what it says of itself need not be of use
  // here.
  if (route.brokers.size() == 1 && reached_.addresses().empty()) {
    route.brokers[0].endpoint.clear();
    route.brokers[0].slaves.clear();
  }
  return route;
}

void RouteCache::Refuse(Entries::iterator entry, const absl::Status& status) {
  if (entry->second.known) return;  // what it was is still the best that is known
  entry->second.route = {status, {}};
  entry->second.has_route = true;
  Announce(entry);
}

void RouteCache::Put(Entries::iterator entry, const Route& route) {
  if (entry->second.known && entry->second.route == route) return;
  entry->second.known = entry->second.has_route = true;
  entry->second.route = route;
  Announce(entry);
}

void RouteCache::Announce(Entries::iterator entry) {
  if (!std::exchange(entry->second.news, true)) news_.push_back(entry->first);
}

void RouteCache::OnEnd(const grpc::Status& status) {
  {
    MutexLock lock(mutex_);
    ++callbacks_;
    stream_ = nullptr;
    writing_ = false;
    state_ = State::kBackoff;
    if (!closing_) {
      connection_.Avoid(watched_at_);
      // A server that has no such service is asked for it again all the same: it may get one.
      const auto delay = IsFatal(status)
                             ? poll_interval_
                             : Jittered(Backoff(failures_++, std::chrono::milliseconds(50)));
      reconnect_at_ = steady_clock::now() + delay;
      connection_.ticker()->WakeAt(reconnect_at_, this);
      for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (!entry->second.known) AskFor(entry);
      }
      ScheduleRound();
    }
  }
  Ask();
  MutexLock lock(mutex_);
  --callbacks_;
  changed_.SignalAll();
}

void RouteCache::Tick(SteadyTime now) {
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    if (state_ == State::kBackoff && now >= reconnect_at_) Connect();
    // One that has just started tells nothing for a while, one that hangs never will.
    const bool is_silent = stream_ != nullptr && introduced_ && !heard_;
    if (is_silent && connection_.access_points() > 1 && now >= silent_until_) stream_->Cancel();
    if (round_scheduled_ && now >= next_round_) {
      round_scheduled_ = false;
      for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (!IsStale(entry->second)) continue;
        AskFor(entry);
        ScheduleRound();
      }
    }
  }
  Pump();
  Ask();
}

bool RouteCache::IsStale(const Entry& entry) const {
  return state_ != State::kWatching || !heard_ || entry.refused;
}

void RouteCache::ScheduleRound() {
  if (std::exchange(round_scheduled_, true)) return;
  next_round_ = steady_clock::now() + poll_interval_;
  connection_.ticker()->WakeAt(next_round_, this);
}

void RouteCache::Doubt() {
  {
    MutexLock lock(mutex_);
    const SteadyTime now = steady_clock::now();
    if (closing_ || now - doubted_at_ < kDoubtInterval) return;
    doubted_at_ = now;
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (IsStale(entry->second)) AskFor(entry);
    }
  }
  Ask();
}

void RouteCache::AskFor(Entries::iterator entry) {
  if (!std::exchange(entry->second.asked_for, true)) questions_.push_back(entry->first);
}

void RouteCache::Ask() {
  Query* query = nullptr;
  {
    MutexLock lock(mutex_);
    while (!closing_ && query_ == nullptr && !questions_.empty()) {
      const auto entry = entries_.find(questions_.front());
      questions_.pop_front();
      if (entry == entries_.end() || !std::exchange(entry->second.asked_for, false)) continue;
      query_ = std::make_unique<Query>();
      query = query_.get();
      query->topic = entry->first;
      query->access_point = connection_.access_point();
    }
  }
  if (query == nullptr) return;
  v2::QueryRouteRequest request;
  connection_.Fill(query->topic, *request.mutable_topic());
  const v2::Endpoints reached = ParseEndpoint(connection_.endpoint());
  if (!reached.addresses().empty()) *request.mutable_endpoints() = reached;
  query->request = ToBytes(request);
  connection_.Identify(query->context);
  query->context.set_deadline(std::chrono::system_clock::now() + kQueryTimeout);
  grpc::GenericStub(connection_.channel())
      .UnaryCall(&query->context, kQuery, {}, &query->request, &query->response,
                 [this](const grpc::Status& status) { OnAnswer(status); });
}

void RouteCache::OnAnswer(const grpc::Status& status) {
  std::unique_ptr<Query> query;
  {
    MutexLock lock(mutex_);
    ++callbacks_;
    query = std::move(query_);
    v2::QueryRouteResponse response;
    if (status.ok() && FromBytes(query->response, response)) {
      TakeAnswer(*query, response);
    } else if (!status.ok() && !closing_) {
      connection_.Avoid(query->access_point);
      const auto entry = entries_.find(query->topic);
      if (IsFatal(status) && entry != entries_.end()) Refuse(entry, FromGrpc(status));
    }
  }
  query.reset();
  Tell();
  Ask();
  MutexLock lock(mutex_);
  --callbacks_;
  changed_.SignalAll();
}

void RouteCache::TakeAnswer(const Query& query, const v2::QueryRouteResponse& response) {
  const auto entry = entries_.find(query.topic);
  if (entry == entries_.end() || !IsStale(entry->second)) return;
  const v2::Code code = response.status().code();
  if (code != v2::OK && code != v2::TOPIC_NOT_FOUND) {
    if (IsTransient(code)) {
      connection_.Avoid(query.access_point);
    } else {
      Refuse(entry, FromPublic(response.status()));
    }
    return;
  }
  std::map<std::string, BrokerRoute> brokers;
  for (const v2::MessageQueue& queue : response.message_queues()) {
    BrokerRoute& at = brokers[queue.broker().name()];
    at.broker = queue.broker().name();
    at.endpoint = FormatEndpoint(queue.broker().endpoints());
    ++at.queues;
    if (MayWrite(queue.permission())) ++at.write_queues;
  }
  Route route;
  if (!brokers.empty()) route.status = absl::OkStatus();
  for (auto& [name, at] : brokers) {
    // The answer does not say; most likely it is the same.
    for (const BrokerRoute& before : entry->second.route.brokers) {
      if (before.broker != name) continue;
      at.topic_id = before.topic_id;
      at.slaves = before.slaves;
    }
    route.brokers.push_back(std::move(at));
  }
  const bool reached = !ParseEndpoint(connection_.endpoint()).addresses().empty();
  if (route.brokers.size() == 1 && !reached) route.brokers[0].endpoint.clear();
  // The next watch is to tell it again: until then its brokers' changes are not this route's.
  entry->second.version = 0;
  entry->second.told.reset();
  Put(entry, route);
}

void RouteCache::Tell() {
  MutexLock lock(mutex_);
  if (telling_) return;  // whoever tells looks again before it stops
  telling_ = true;
  while (!news_.empty()) {
    const std::string topic = std::move(news_.front());
    news_.pop_front();
    TellOne(topic);
  }
  telling_ = false;
}

void RouteCache::TellOne(const std::string& topic) {
  auto entry = entries_.find(topic);
  if (entry == entries_.end() || !std::exchange(entry->second.news, false)) return;
  const Route route = entry->second.route;
  const std::vector<RouteListener*> listeners(entry->second.listeners.begin(),
                                              entry->second.listeners.end());
  for (RouteListener* listener : listeners) {
    entry = entries_.find(topic);
    if (entry == entries_.end() || !entry->second.listeners.contains(listener)) continue;
    told_ = listener;
    mutex_.Unlock();
    listener->OnRoute(topic, route);
    mutex_.Lock();
    told_ = nullptr;
    changed_.SignalAll();
  }
}

}  // namespace dunlin::internal
