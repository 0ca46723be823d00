// WatchRoutesCall: one WatchRoutes stream; names of topics in, their routes out, now and whenever
// they change.
//
// Of a topic or a broker group that changed it keeps a mark, and looks it up when its turn to be
// written comes: a client that reads slowly gets the newest state of each, and costs no more than
// one that reads fast. One request is handled before the next is read; it is answered once nothing
// that it named is held back (RouteSource::FindRoute).

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/route_source.h"
#include "services/broker/topics/topic_watchers.h"

namespace dunlin::broker {

// Lives until gRPC and the topics' watchers are done with it.
class WatchRoutesCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                              public OpenStream,
                              public TopicWatcher,
                              public std::enable_shared_from_this<WatchRoutesCall> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      RouteSource& routes, OpenStreams& open_streams, const grpc::CallbackServerContext& context);

  void EndForStop() override;
  void OnTopicChanged(std::string_view qualified_name) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnGroupChanged(std::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override;
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Request = nameservice::v1::WatchRoutesRequest;
  using Route = nameservice::v1::Route;
  using BrokerGroup = nameservice::v1::BrokerGroup;

  struct Watched {
    uint64_t version = 0;   // of the route that the client has
    bool marked = false;    // it stands in marked_
    bool withheld = false;  // it counts in withheld_
  };
  // The ear for groups.
  struct GroupWatcher final : TopicWatcher {
    explicit GroupWatcher(WatchRoutesCall& told_to) : call(told_to) {}
    void OnTopicChanged(std::string_view name) override { call.OnGroupChanged(name); }
    WatchRoutesCall& call;
  };
  // What is told in one response.
  struct News {
    std::vector<std::string> topics;
    std::vector<std::string> groups;
    // Looked up; a topic that is held back has none.
    std::vector<std::optional<Route>> routes;
    std::vector<BrokerGroup> found;
  };

  WatchRoutesCall(RouteSource& routes, OpenStreams& open_streams,
                  const grpc::CallbackServerContext& context);

  // An error ends the stream.
  absl::Status Handle(const grpc::ByteBuffer& bytes);
  absl::Status Open(const Request& request) ABSL_LOCKS_EXCLUDED(mutex_);
  void Watch(const nameservice::v1::WatchedTopic& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Add(const std::string& qualified_name, uint64_t version) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const apache::rocketmq::v2::Resource& topic) ABSL_LOCKS_EXCLUDED(mutex_);

  // Writes what there is to tell.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  // What is to be told in the next response; nothing at all: Pump has nothing to do, and is not
  // pumping any more.
  std::optional<News> TakeMarked() ABSL_LOCKS_EXCLUDED(mutex_);
  void LookUp(News& news) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells of a group from now on; false when it does so already.
  bool MeetGroup(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  void Tell(News news) ABSL_LOCKS_EXCLUDED(mutex_);
  void FillRoutes(News& news, nameservice::v1::WatchRoutesResponse& response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of a topic that was held back, or is not any more.
  void Withhold(Watched& watched, bool withheld) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  RouteSource& routes_;
  OpenStreams& open_streams_;
  const CallContext call_;
  RouteViewer viewer_;  // complete once the first request was handled
  GroupWatcher group_watcher_;
  std::shared_ptr<WatchRoutesCall> self_;  // until OnDone

  // Of the read under way, and what handles it; one thread at a time.
  grpc::ByteBuffer received_;
  bool opened_ = false;

  Mutex mutex_;
  StringMap<Watched> watched_ ABSL_GUARDED_BY(mutex_);  // by qualified name
  std::deque<std::string> marked_ ABSL_GUARDED_BY(mutex_);
  std::deque<Route> refused_ ABSL_GUARDED_BY(mutex_);  // of the request that is being answered
  StringMap<bool> groups_ ABSL_GUARDED_BY(mutex_);  // told of; whether it stands in marked_groups_
  std::deque<std::string> marked_groups_ ABSL_GUARDED_BY(mutex_);
  bool answering_ ABSL_GUARDED_BY(mutex_) = false;  // a request is not handled to its end yet
  size_t withheld_ ABSL_GUARDED_BY(mutex_) = 0;     // watched topics of which nothing can be said
  uint64_t handled_ ABSL_GUARDED_BY(mutex_) = 0;    // requests
  uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);  // of the write under way
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
