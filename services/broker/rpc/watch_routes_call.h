// WatchRoutesCall: one WatchRoutes stream; names of topics in, their routes out, now and whenever
// they change.
//
// Of a topic that changed it keeps a mark, and looks it up when its turn to be written comes: a
// client that reads slowly gets the newest state of each topic, and costs no more than one that
// reads fast. One request is answered before the next is read.

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
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_watchers.h"

namespace dunlin::broker {

// Lives until gRPC and the topics' watchers are done with it.
class WatchRoutesCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                              public OpenStream,
                              public TopicWatcher,
                              public std::enable_shared_from_this<WatchRoutesCall> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      ServiceContext& services, OpenStreams& open_streams,
      const grpc::CallbackServerContext& context);

  void EndForStop() override;
  void OnTopicChanged(std::string_view qualified_name) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override;
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Request = nameservice::v1::WatchRoutesRequest;
  using Route = nameservice::v1::Route;

  struct Watched {
    uint64_t version = 0;  // of the route that the client has
    bool marked = false;   // it stands in marked_
  };

  WatchRoutesCall(ServiceContext& services, OpenStreams& open_streams,
                  const grpc::CallbackServerContext& context);

  // An error ends the stream.
  absl::Status Handle(const grpc::ByteBuffer& bytes);
  absl::Status Open(const Request& request) ABSL_LOCKS_EXCLUDED(mutex_);
  void Watch(const nameservice::v1::WatchedTopic& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Add(const std::string& qualified_name, uint64_t version) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const apache::rocketmq::v2::Resource& topic) ABSL_LOCKS_EXCLUDED(mutex_);

  // Writes what there is to tell.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  // Those to be told in the next response; nothing at all: Pump has nothing to do, and is not
  // pumping any more.
  std::optional<std::vector<std::string>> TakeMarked() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Route> LookUp(const std::vector<std::string>& topics) const;
  void Tell(std::vector<Route> routes) ABSL_LOCKS_EXCLUDED(mutex_);
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  ServiceContext& services_;
  OpenStreams& open_streams_;
  const CallContext call_;
  std::shared_ptr<WatchRoutesCall> self_;  // until OnDone

  // Of the read under way, and what handles it; one thread at a time.
  grpc::ByteBuffer received_;
  bool opened_ = false;

  Mutex mutex_;
  StringMap<Watched> watched_ ABSL_GUARDED_BY(mutex_);  // by qualified name
  std::deque<std::string> marked_ ABSL_GUARDED_BY(mutex_);
  std::deque<Route> refused_ ABSL_GUARDED_BY(mutex_);  // of the request that is being answered
  bool answering_ ABSL_GUARDED_BY(mutex_) = false;     // a request is not answered yet
  std::optional<nameservice::v1::BrokerGroup> broker_ ABSL_GUARDED_BY(mutex_);  // until it is told
  uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);  // of the write under way
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
