#include "clients/cpp/testing/fake_calls.h"

namespace dunlin::testing {

grpc::Status WatchRoutesCall::Run() {
  {
    MutexLock lock(broker_.mutex_);
    if (broker_.refuse_watches_) return {grpc::StatusCode::UNAVAILABLE, "not now"};
  }
  std::thread writer([this] { Send(); });
  for (ns::WatchRoutesRequest request; stream_.Read(&request);) Handle(request);
  {
    MutexLock lock(broker_.mutex_);
    done_ = true;
    broker_.seen_.watched.clear();
    broker_.changed_.SignalAll();
  }
  writer.join();
  return grpc::Status::OK;
}

void WatchRoutesCall::Handle(const ns::WatchRoutesRequest& request) {
  MutexLock lock(broker_.mutex_);
  for (const auto& topic : request.unwatch()) {
    versions_.erase(topic.name());
    broker_.seen_.watched.erase(topic.name());
  }
  for (const auto& topic : request.watch()) {
    versions_[topic.topic().name()] = topic.version();
    broker_.seen_.watched.insert(topic.topic().name());
    if (topic.version() != 0) ++broker_.seen_.renewals[topic.topic().name()];
  }
  ++requests_;
  broker_.changed_.SignalAll();
}

bool WatchRoutesCall::NextResponse(ns::WatchRoutesResponse& response) {
  for (auto& [topic, version] : versions_) {
    ns::Route route = broker_.RouteOf(topic);
    if (route.version() == version) continue;
    version = route.version();
    ++broker_.seen_.told[topic];
    broker_.changed_.SignalAll();
    if (const auto told = broker_.routes_.find(topic); told != broker_.routes_.end()) {
      for (const auto& place : told->second) {
        *response.add_brokers() = FakeBroker::GroupOf(place);
      }
    }
    *response.add_routes() = std::move(route);
  }
  if (response.routes_size() == 0 && answered_ == requests_) return false;
  answered_ = requests_;
  response.set_answered_requests(answered_);
  return true;
}

void WatchRoutesCall::Send() {
  for (;;) {
    ns::WatchRoutesResponse response;
    {
      MutexLock lock(broker_.mutex_);
      while (!done_ && !broker_.stopping_ && !NextResponse(response)) {
        broker_.changed_.Wait(broker_.mutex_);
      }
      if (done_ || broker_.stopping_) return;
    }
    stream_.Write(response);
  }
}

}  // namespace dunlin::testing
