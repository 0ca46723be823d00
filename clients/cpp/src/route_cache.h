// RouteCache: which brokers hold queues of the topics that a client uses, and where these brokers
// are, kept up to date by a watch.
//
// One WatchRoutes call for all topics, made again whenever it breaks, at the next access point if
// there are several: the server is then told what is known, and tells what has changed. Without a
// watch (the call is broken, or the server has no such service) the cache asks with QueryRoute: at
// once for what is unknown and when a broker is in doubt, for everything at intervals. Connects
// when the first topic is followed. Thread-safe.
//
// A route is what was true a moment ago: the broker decides on everything that is sent to it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

class Connection;

// A slave of a broker.
struct SlaveRoute {
  int32_t id = 0;
  std::string endpoint;

  bool operator==(const SlaveRoute&) const = default;
};

// The queues of a topic at one broker.
struct BrokerRoute {
  // The name of its group. Empty: the server at the access point, whatever its name.
  std::string broker;
  // Where it is served. Empty: at the access point.
  std::string endpoint;
  uint32_t queues = 0;
  uint32_t write_queues = 0;  // the first ones: only these take new messages
  // Another one: another topic of the same name. 0: not known.
  uint32_t topic_id = 0;
  // As far as somebody tells of them; by id.
  std::vector<SlaveRoute> slaves = {};

  bool operator==(const BrokerRoute&) const = default;
};

struct Route {
  // NOT_FOUND: there is no such topic now. Others: the server says that there can be none.
  absl::Status status = absl::NotFoundError("there is no such topic");
  std::vector<BrokerRoute> brokers;  // by name; those that can be reached

  bool exists() const { return status.ok(); }
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
  // A broker does not do as its route says. Unless a watch would tell, asks anew, soon.
  void Doubt();

  void OnRead(grpc::ByteBuffer& bytes) override;
  void OnWritten() override;
  void OnEnd(const grpc::Status& status) override;
  void Tick(SteadyTime now) override;

 private:
  enum class State { kIdle, kWatching, kBackoff };

  struct Entry {
    std::set<RouteListener*> listeners;
    Route route;
    // As the watch told it; what `route` says of brokers is taken from `groups_`.
    std::optional<nameservice::v1::Route> told;
    bool known = false;      // that there is such a topic, or that there is none
    bool has_route = false;  // `route` may be told, known or not
    uint64_t version = 0;    // of the route, as the watch told it; 0: it did not
    bool refused = false;    // the watch does not take it
    bool news = false;       // it stands in news_
    bool asked_for = false;  // it stands in questions_
  };
  using Entries = std::map<std::string, Entry>;

  // A broker, as the watch told it.
  struct Group {
    std::string endpoint;  // empty: nobody can be reached
    std::vector<SlaveRoute> slaves = {};
    bool read_only = false;
  };

  // A QueryRoute call.
  struct Query {
    std::string topic;
    size_t access_point = 0;
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NextRequest(nameservice::v1::WatchRoutesRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the next request of the watch unless one is under way.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  void Take(nameservice::v1::WatchRoutesResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(nameservice::v1::Route& told) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Route Resolve(const nameservice::v1::Route& told) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The server has no route to tell, and says why.
  void Refuse(Entries::iterator entry, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Put(Entries::iterator entry, const Route& route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The last listener of it has left.
  Entries::iterator Drop(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Announce(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

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
  std::map<std::string, Group> groups_ ABSL_GUARDED_BY(mutex_);

  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  size_t watched_at_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of the access point
  // How the watch reached that; without addresses when nobody can say.
  apache::rocketmq::v2::Endpoints reached_ ABSL_GUARDED_BY(mutex_);
  bool introduced_ ABSL_GUARDED_BY(mutex_) = false;           // the server was told
  bool heard_ ABSL_GUARDED_BY(mutex_) = false;                // the watch has told something
  std::deque<std::string> to_watch_ ABSL_GUARDED_BY(mutex_);  // topics, to be written
  std::deque<std::string> to_leave_ ABSL_GUARDED_BY(mutex_);
  SteadyTime silent_until_ ABSL_GUARDED_BY(mutex_){};
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // to watch, in a row
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};

  std::unique_ptr<Query> query_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> questions_ ABSL_GUARDED_BY(mutex_);
  bool round_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  SteadyTime next_round_ ABSL_GUARDED_BY(mutex_){};
  SteadyTime doubted_at_ ABSL_GUARDED_BY(mutex_){};

  std::deque<std::string> news_ ABSL_GUARDED_BY(mutex_);  // topics, to be told
  bool telling_ ABSL_GUARDED_BY(mutex_) = false;
  const RouteListener* told_ ABSL_GUARDED_BY(mutex_) = nullptr;  // at this moment
};

}  // namespace dunlin::internal
