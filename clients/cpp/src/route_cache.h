// RouteCache: what the broker says of the topics that a client uses, kept up to date by a watch.
//
// One WatchRoutes call for all topics, made again whenever it breaks: the broker is then told what
// is known, and tells what has changed. Without a watch (the call is broken, or the server has no
// such service) the cache asks with QueryRoute: at once for what is unknown, for everything at
// intervals. Connects when the first topic is followed. Thread-safe.
//
// A route is what was true a moment ago: the broker decides on everything that is sent to it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class Connection;

struct Route {
  bool exists = false;
  uint32_t queues = 0;
  uint32_t write_queues = 0;  // the first ones: only these take new messages
  // Another one: another topic of the same name. 0: not known.
  uint32_t topic_id = 0;

  bool operator==(const Route&) const = default;
};

class RouteListener {
 public:
  virtual ~RouteListener() = default;
  // The route of a topic that it follows, as soon as it is known and whenever it changes; also
  // again without a change. One call at a time, without a lock; must not wait.
  virtual void OnRoute(const std::string& topic, const Route& route) = 0;
};

class RouteCache final : public StreamOwner, public Ticking {
 public:
  // `connection` must outlive the cache.
  RouteCache(const Connection& connection, std::chrono::milliseconds poll_interval);
  // All listeners are forgotten by then. Waits for the calls under way.
  ~RouteCache() override;

  // May call OnRoute of any listener: not under a lock that one takes.
  void Follow(const std::string& topic, RouteListener* listener);
  void Leave(const std::string& topic, const RouteListener* listener);
  // Leaves all topics; no OnRoute of `listener` is under way or comes afterwards. Not from OnRoute.
  void Forget(const RouteListener* listener);

  void OnRead(grpc::ByteBuffer& bytes) override;
  void OnWritten() override;
  void OnEnd(const grpc::Status& status) override;
  void Tick(SteadyTime now) override;

 private:
  enum class State { kIdle, kWatching, kBackoff };

  struct Entry {
    std::set<RouteListener*> listeners;
    Route route;
    bool known = false;
    uint64_t version = 0;    // of the route, as the watch told it; 0: it did not
    bool refused = false;    // the watch does not take it
    bool news = false;       // it stands in news_
    bool asked_for = false;  // it stands in questions_
  };
  using Entries = std::map<std::string, Entry>;

  // A QueryRoute call.
  struct Query {
    std::string topic;
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NextRequest(nameservice::v1::WatchRoutesRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the next request of the watch unless one is under way.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  void Take(const nameservice::v1::Route& told) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Put(Entries::iterator entry, const Route& route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The last listener of it has left.
  Entries::iterator Drop(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Nobody tells its changes.
  bool IsStale(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskFor(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ScheduleRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Asks the next question unless one is under way.
  void Ask() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnAnswer(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeAnswer(const Query& query, const apache::rocketmq::v2::QueryRouteResponse& response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Tells listeners what is new; one thread at a time.
  void Tell() ABSL_LOCKS_EXCLUDED(mutex_);
  void TellOne(const std::string& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Connection& connection_;
  const std::chrono::milliseconds poll_interval_;

  Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  int callbacks_ ABSL_GUARDED_BY(mutex_) = 0;  // of gRPC, that are not through
  Entries entries_ ABSL_GUARDED_BY(mutex_);

  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool heard_ ABSL_GUARDED_BY(mutex_) = false;                // the watch has told something
  std::deque<std::string> to_watch_ ABSL_GUARDED_BY(mutex_);  // topics, to be written
  std::deque<std::string> to_leave_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // to watch, in a row
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};

  std::unique_ptr<Query> query_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> questions_ ABSL_GUARDED_BY(mutex_);
  bool round_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  SteadyTime next_round_ ABSL_GUARDED_BY(mutex_){};

  std::deque<std::string> news_ ABSL_GUARDED_BY(mutex_);  // topics, to be told
  bool telling_ ABSL_GUARDED_BY(mutex_) = false;
  const RouteListener* told_ ABSL_GUARDED_BY(mutex_) = nullptr;  // at this moment
};

}  // namespace dunlin::internal
