#include "clients/cpp/testing/fake_broker.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "clients/cpp/testing/fake_calls.h"
#include "services/base/crc32c.h"

namespace dunlin::testing {
namespace {

void FillEndpoints(const std::string& address, v2::Endpoints& endpoints) {
  const size_t colon = address.find(':');
  endpoints.set_scheme(v2::IPv4);
  endpoints.add_addresses()->set_host(address.substr(0, colon));
  endpoints.mutable_addresses(0)->set_port(std::stoi(address.substr(colon + 1)));
}

}  // namespace

class FakeBroker::Service final : public v1::StreamService::Service {
 public:
  explicit Service(FakeBroker& broker) : broker_(broker) {}

  grpc::Status Publish(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::PublishResponse, v1::PublishRequest>* stream) override {
    grpc::Status status = broker_.Enter("Publish", context, &Seen::publish_calls);
    if (status.ok()) status = PublishCall(broker_, *stream).Run();
    broker_.Leave(context);
    return status;
  }

  grpc::Status Subscribe(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::SubscribeResponse, v1::SubscribeRequest>* stream) override {
    grpc::Status status = broker_.Enter("Subscribe", context, &Seen::subscribe_calls);
    if (status.ok()) status = SubscribeCall(broker_, *stream).Run();
    broker_.Leave(context);
    return status;
  }

 private:
  FakeBroker& broker_;
};

class FakeBroker::RouteService final : public ns::RouteService::Service {
 public:
  explicit RouteService(FakeBroker& broker) : broker_(broker) {}

  grpc::Status WatchRoutes(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<ns::WatchRoutesResponse, ns::WatchRoutesRequest>* stream) override {
    grpc::Status status = broker_.Enter("WatchRoutes", context, &Seen::watch_calls);
    if (status.ok()) status = WatchRoutesCall(broker_, *stream).Run();
    broker_.Leave(context);
    return status;
  }

 private:
  FakeBroker& broker_;
};

class FakeBroker::MessagingService final : public v2::MessagingService::Service {
 public:
  explicit MessagingService(FakeBroker& broker) : broker_(broker) {}

  grpc::Status QueryRoute(grpc::ServerContext* context, const v2::QueryRouteRequest* request,
                          v2::QueryRouteResponse* response) override {
    MutexLock lock(broker_.mutex_);
    ++broker_.seen_.queries;
    broker_.changed_.SignalAll();
    if (grpc::Status away = broker_.Note("QueryRoute", *context); !away.ok()) return away;
    const ns::Route route = broker_.RouteOf(request->topic().name());
    *response->mutable_status() = route.status();
    for (uint32_t id = 0; route.queues_size() > 0 && id < route.queues(0).queues(); ++id) {
      v2::MessageQueue& queue = *response->add_message_queues();
      queue.set_id(static_cast<int32_t>(id));
      queue.mutable_broker()->set_name(route.queues(0).broker());
    }
    return grpc::Status::OK;
  }

  // No messages, for nobody.
  grpc::Status ReceiveMessage(grpc::ServerContext* context,
                              const v2::ReceiveMessageRequest* /*request*/,
                              grpc::ServerWriter<v2::ReceiveMessageResponse>* /*out*/) override {
    MutexLock lock(broker_.mutex_);
    return broker_.Note("ReceiveMessage", *context);
  }

 private:
  FakeBroker& broker_;
};

FakeBroker::FakeBroker(const Options& options)
    : options_(options),
      service_(std::make_unique<Service>(*this)),
      route_service_(std::make_unique<RouteService>(*this)),
      messaging_service_(std::make_unique<MessagingService>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port_);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(service_.get());
  if (options.watches) builder.RegisterService(route_service_.get());
  builder.RegisterService(messaging_service_.get());
  server_ = builder.BuildAndStart();
}

FakeBroker::~FakeBroker() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  BreakStreams();
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeBroker::address() const { return fmt::format("127.0.0.1:{}", port_); }

void FakeBroker::AddTopic(const std::string& topic) {
  MutexLock lock(mutex_);
  Topic& added = topics_[topic];
  added.id = ++last_topic_id_;
  added.queues.resize(options_.queues);
  changed_.SignalAll();
}

void FakeBroker::AddQueues(const std::string& topic, uint32_t queues) {
  MutexLock lock(mutex_);
  std::vector<Queue>& all = topics_.at(topic).queues;
  all.resize(all.size() + queues);
  changed_.SignalAll();
}

void FakeBroker::DeleteTopic(const std::string& topic) {
  MutexLock lock(mutex_);
  topics_.erase(topic);
  changed_.SignalAll();
}

void FakeBroker::SetRoute(const std::string& topic, const std::vector<Place>& places) {
  MutexLock lock(mutex_);
  routes_[topic] = places;
  ++route_version_;
  changed_.SignalAll();
}

ns::Route FakeBroker::RouteOf(const std::string& topic) const {
  ns::Route route;
  route.mutable_topic()->set_name(topic);
  if (denied_routes_ != v2::OK) {
    route.mutable_status()->set_code(denied_routes_);
    route.set_version(2);
    return route;
  }
  if (const auto told = routes_.find(topic); told != routes_.end()) {
    route.mutable_status()->set_code(told->second.empty() ? v2::TOPIC_NOT_FOUND : v2::OK);
    for (const Place& place : told->second) {
      ns::BrokerQueues& queues = *route.add_queues();
      queues.set_broker(place.broker);
      queues.set_topic_id(1);
      queues.set_queues(place.queues);
    }
    // What it says of brokers is told together with it.
    route.set_version(std::hash<std::string>()(route.SerializeAsString()) + route_version_);
    return route;
  }
  const auto found = topics_.find(topic);
  if (found == topics_.end()) {
    route.mutable_status()->set_code(v2::TOPIC_NOT_FOUND);
    route.set_version(1);
    return route;
  }
  route.mutable_status()->set_code(v2::OK);
  ns::BrokerQueues& queues = *route.add_queues();
  queues.set_broker("fake");
  queues.set_topic_id(found->second.id);
  queues.set_queues(static_cast<uint32_t>(found->second.queues.size()));
  route.set_version((uint64_t{queues.topic_id()} << 32) + queues.queues() + 1);
  return route;
}

ns::BrokerGroup FakeBroker::GroupOf(const Place& place) {
  ns::BrokerGroup group;
  group.set_name(place.broker);
  group.set_read_only(place.read_only);
  if (place.address.empty()) return group;
  FillEndpoints(place.address, *group.add_members()->mutable_endpoints());
  for (const std::string& slave : place.slaves) {
    v2::Broker& member = *group.add_members();
    member.set_id(group.members_size() - 1);
    FillEndpoints(slave, *member.mutable_endpoints());
  }
  return group;
}

grpc::Status FakeBroker::Enter(const std::string& name, grpc::ServerContextBase* call,
                               int Seen::*calls) {
  MutexLock lock(mutex_);
  calls_.insert(call);
  seen_.open_calls = calls_.size();
  ++(seen_.*calls);
  changed_.SignalAll();
  return Note(name, *call);
}

grpc::Status FakeBroker::Note(const std::string& name, const grpc::ServerContextBase& call) {
  Signature& signature = seen_.signatures.emplace_back();
  signature.call = name;
  for (const auto& [key, value] : call.client_metadata()) {
    if (key == "x-mq-date-time") signature.date_time.assign(value.data(), value.size());
    if (key == "authorization") signature.authorization.assign(value.data(), value.size());
  }
  return turned_away_;
}

void FakeBroker::Leave(grpc::ServerContextBase* call) {
  MutexLock lock(mutex_);
  calls_.erase(call);
  seen_.open_calls = calls_.size();
  changed_.SignalAll();
}

void FakeBroker::Store(const std::string& topic, uint32_t queue, const v2::Message& message) {
  MutexLock lock(mutex_);
  const bool compressed = message.system_properties().body_encoding() == v2::GZIP;
  topics_.at(topic).queues[queue].messages.push_back({message.SerializeAsString(), compressed});
  changed_.SignalAll();
}

std::vector<v2::Message> FakeBroker::Messages(const std::string& topic, uint32_t queue) {
  MutexLock lock(mutex_);
  std::vector<v2::Message> messages;
  for (const Stored& stored : topics_.at(topic).queues[queue].messages) {
    messages.emplace_back().ParseFromString(stored.payload);
  }
  return messages;
}

size_t FakeBroker::MessageCount(const std::string& topic) {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const Queue& queue : topics_.at(topic).queues) count += queue.messages.size();
  return count;
}

void FakeBroker::Refuse(std::function<std::optional<Refusal>(const v2::Message&)> rule) {
  MutexLock lock(mutex_);
  refuse_ = std::move(rule);
}

void FakeBroker::RefuseBindings(int bindings, v2::Code code) {
  MutexLock lock(mutex_);
  refuse_bindings_ = bindings;
  binding_code_ = code;
}

void FakeBroker::HoldAcks(bool hold) {
  MutexLock lock(mutex_);
  hold_acks_ = hold;
  changed_.SignalAll();
}

void FakeBroker::LoseAcks(bool lose) {
  MutexLock lock(mutex_);
  lose_acks_ = lose;
}

void FakeBroker::BreakStreams() {
  MutexLock lock(mutex_);
  for (grpc::ServerContextBase* call : calls_) call->TryCancel();
}

void FakeBroker::Corrupt(int records) {
  MutexLock lock(mutex_);
  corrupt_ = records;
}

void FakeBroker::SetCold(bool cold) {
  MutexLock lock(mutex_);
  cold_ = cold;
}

void FakeBroker::Hang(bool hang) {
  MutexLock lock(mutex_);
  hangs_ = hang;
  changed_.SignalAll();
}

void FakeBroker::SetOffsetMinimum(const std::string& topic, uint32_t queue, uint64_t offset) {
  MutexLock lock(mutex_);
  topics_.at(topic).queues[queue].min_offset = offset;
}

void FakeBroker::PassOver(const std::string& topic, uint32_t queue, uint64_t offset) {
  MutexLock lock(mutex_);
  topics_.at(topic).queues[queue].passed_over = offset;
  changed_.SignalAll();
}

void FakeBroker::DetachAll(v2::Code code) {
  MutexLock lock(mutex_);
  detach_code_ = code;
  ++detach_round_;
  changed_.SignalAll();
}

void FakeBroker::RejectAttaches(int attaches) {
  MutexLock lock(mutex_);
  reject_attaches_ = attaches;
}

void FakeBroker::HoldSettled(bool hold) {
  MutexLock lock(mutex_);
  hold_settled_ = hold;
  changed_.SignalAll();
}

void FakeBroker::RefuseWatches(bool refuse) {
  MutexLock lock(mutex_);
  refuse_watches_ = refuse;
}

void FakeBroker::TurnAway(const grpc::Status& status) {
  MutexLock lock(mutex_);
  turned_away_ = status;
}

void FakeBroker::DenyRoutes(v2::Code code) {
  MutexLock lock(mutex_);
  denied_routes_ = code;
}

void FakeBroker::DenyAttaches(v2::Code code) {
  MutexLock lock(mutex_);
  denied_attaches_ = code;
}

FakeBroker::Seen FakeBroker::seen() {
  MutexLock lock(mutex_);
  return seen_;
}

bool FakeBroker::Await(const std::function<bool(const Seen&)>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  MutexLock lock(mutex_);
  while (!condition(seen_)) {
    if (!changed_.WaitUntil(mutex_, deadline)) return false;
  }
  return true;
}

// docs/formats/commit_log.md
std::string FakeBroker::Record(const Topic& topic, uint32_t queue, uint64_t offset) {
  const Stored& stored = topic.queues[queue].messages[offset];
  constexpr size_t kHeader = 56;
  std::string record(kHeader, '\0');
  const auto put = [&record](size_t at, auto value) {
    record.replace(at, sizeof(value), reinterpret_cast<const char*>(&value), sizeof(value));
  };
  put(0, static_cast<uint32_t>(kHeader + stored.payload.size()));
  put(8, uint8_t{1});
  put(9, static_cast<uint8_t>(stored.compressed ? 1 : 0));
  put(24, topic.id);
  put(28, queue);
  put(32, offset);
  put(40, int64_t{1'700'000'000'000} + static_cast<int64_t>(offset));
  record += stored.payload;
  put(4, Crc32c(std::string_view(record).substr(8)));
  if (corrupt_ > 0) {
    --corrupt_;
    record.back() = static_cast<char>(record.back() ^ 1);
  }
  record.resize((record.size() + 7) / 8 * 8);
  return record;
}

}  // namespace dunlin::testing
