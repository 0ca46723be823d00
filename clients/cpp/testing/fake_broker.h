// FakeBroker: StreamService, RouteService and QueryRoute in the test's own process, in memory.
//
// Keeps the contract's rules about sequences, order, leases and versions of routes that a client
// can tell, and does on demand what a broker does on a bad day. Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin::testing {

namespace ns = dunlin::nameservice::v1;
namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

class FakeBroker {
 public:
  struct Refusal {
    v2::Code code;
    uint32_t retry_after_ms = 0;
  };
  struct Stored {
    std::string payload;  // a serialised Message
    bool compressed = false;
  };
  struct Options {
    uint64_t publish_credit_bytes = 16 << 20;
    uint32_t queues = 2;
    std::string address = "127.0.0.1:0";
    bool watches = true;  // serves WatchRoutes
  };

  // The queues of a topic at a broker, as a name service tells them.
  struct Place {
    std::string broker;
    std::string address;  // empty: nobody of the broker can be reached
    uint32_t queues = 2;
    bool read_only = false;
    std::vector<std::string> slaves = {};  // where they are
  };

  explicit FakeBroker(const Options& options);
  FakeBroker() : FakeBroker(Options()) {}
  ~FakeBroker();

  std::string address() const;

  // Topics exist from then on.
  void AddTopic(const std::string& topic);
  void AddQueues(const std::string& topic, uint32_t queues);
  void DeleteTopic(const std::string& topic);
  // From now on the topic's route is that, as if this were a name service.
  void SetRoute(const std::string& topic, const std::vector<Place>& places);
  void Store(const std::string& topic, uint32_t queue, const v2::Message& message);
  std::vector<v2::Message> Messages(const std::string& topic, uint32_t queue);
  size_t MessageCount(const std::string& topic);

  // Asked before a message is stored; what it returns is answered. Called under the lock.
  void Refuse(std::function<std::optional<Refusal>(const v2::Message&)> rule);
  // So many of the next bindings for publishing are answered with `code`.
  void RefuseBindings(int bindings, v2::Code code);
  // Answers to frames are kept back, and given all at once.
  void HoldAcks(bool hold);
  // Answers to the frames that come are lost, although their messages are stored.
  void LoseAcks(bool lose);
  // Ends all calls. New ones are taken.
  void BreakStreams();
  // So many of the next records that are sent have a byte that is not theirs.
  void Corrupt(int records);
  // Of the next lease on.
  void SetOffsetMinimum(const std::string& topic, uint32_t queue, uint64_t offset);
  void DetachAll(v2::Code code);
  // Whether frames say that their messages come from the disk.
  void SetCold(bool cold);
  // Calls are taken and stay open, and nothing more is sent.
  void Hang(bool hang);
  // Filters let nothing before `offset` through.
  void PassOver(const std::string& topic, uint32_t queue, uint64_t offset);
  // So many of the next Attaches end their call as a mistake.
  void RejectAttaches(int attaches);
  // Answers to verdicts are kept back.
  void HoldSettled(bool hold);
  // Ends watches as soon as they begin.
  void RefuseWatches(bool refuse);
  // Every call that begins from now on ends with that.
  void TurnAway(const grpc::Status& status);
  // What routes are answered with, and what Attaches; OK: as things are.
  void DenyRoutes(v2::Code code);
  void DenyAttaches(v2::Code code);

  // How a call was signed; empty: not at all.
  struct Signature {
    std::string call;
    std::string date_time;
    std::string authorization;
  };
  // What was seen.
  struct Seen {
    int publish_calls = 0;
    int bindings = 0;  // of them
    int subscribe_calls = 0;
    size_t open_calls = 0;
    int frames = 0;
    int repeated_messages = 0;     // that were stored before
    uint64_t most_unanswered = 0;  // bytes of frames
    uint64_t most_credit = 0;      // bytes that could be sent at a time
    uint64_t credit_returned = 0;
    std::vector<v1::Verdict> verdicts;
    int late_verdicts = 0;
    uint64_t messages = 0;                 // in offset mode
    std::map<uint32_t, uint64_t> commits;  // by queue
    std::vector<v1::Attach> attaches;
    int watch_calls = 0;
    int queries = 0;                      // QueryRoute
    std::map<std::string, int> told;      // routes, by topic
    std::set<std::string> watched;        // topics, by the watch there is
    std::map<std::string, int> renewals;  // topics that were named with a version
    std::vector<Signature> signatures;    // of all calls
  };
  Seen seen();
  // Waits until `condition` holds for what was seen; false after ten seconds.
  bool Await(const std::function<bool(const Seen&)>& condition);

 private:
  friend class PublishCall;
  friend class SubscribeCall;
  friend class WatchRoutesCall;
  class Service;
  class RouteService;
  class MessagingService;
  struct Queue {
    std::vector<Stored> messages;
    std::map<uint64_t, uint64_t> last_sequences;               // by producer
    std::map<uint64_t, std::map<uint64_t, uint64_t>> offsets;  // by producer and sequence
    uint64_t min_offset = 0;
    uint64_t passed_over = 0;  // everything below
    // Of the one group.
    uint64_t next_lease = 1;
    uint64_t next_offset = 0;
    std::map<uint64_t, uint64_t> leases;    // by offset
    std::map<uint64_t, uint32_t> attempts;  // by offset
    std::set<uint64_t> again;               // offsets
  };
  struct Topic {
    uint32_t id = 0;
    std::vector<Queue> queues;
  };

  // A call that BreakStreams ends; not OK: it is turned away.
  grpc::Status Enter(const std::string& name, grpc::ServerContextBase* call, int Seen::*calls);
  void Leave(grpc::ServerContextBase* call);
  // Any call; what it is turned away with.
  grpc::Status Note(const std::string& name, const grpc::ServerContextBase& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  static ns::BrokerGroup GroupOf(const Place& place);
  ns::Route RouteOf(const std::string& topic) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Record(const Topic& topic, uint32_t queue, uint64_t offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Topic> topics_ ABSL_GUARDED_BY(mutex_);
  uint32_t last_topic_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::vector<Place>> routes_ ABSL_GUARDED_BY(mutex_);
  uint64_t route_version_ ABSL_GUARDED_BY(mutex_) = 1;
  std::set<grpc::ServerContextBase*> calls_ ABSL_GUARDED_BY(mutex_);
  std::function<std::optional<Refusal>(const v2::Message&)> refuse_ ABSL_GUARDED_BY(mutex_);
  int refuse_bindings_ ABSL_GUARDED_BY(mutex_) = 0;
  v2::Code binding_code_ ABSL_GUARDED_BY(mutex_) = v2::OK;
  bool hold_acks_ ABSL_GUARDED_BY(mutex_) = false;
  bool lose_acks_ ABSL_GUARDED_BY(mutex_) = false;
  bool hold_settled_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool refuse_watches_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status turned_away_ ABSL_GUARDED_BY(mutex_);
  v2::Code denied_routes_ ABSL_GUARDED_BY(mutex_) = v2::OK;
  v2::Code denied_attaches_ ABSL_GUARDED_BY(mutex_) = v2::OK;
  int reject_attaches_ ABSL_GUARDED_BY(mutex_) = 0;
  int corrupt_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cold_ ABSL_GUARDED_BY(mutex_) = false;
  bool hangs_ ABSL_GUARDED_BY(mutex_) = false;
  int detach_round_ ABSL_GUARDED_BY(mutex_) = 0;
  v2::Code detach_code_ ABSL_GUARDED_BY(mutex_) = v2::OK;
  Seen seen_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<Service> service_;
  std::unique_ptr<RouteService> route_service_;
  std::unique_ptr<MessagingService> messaging_service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dunlin::testing
