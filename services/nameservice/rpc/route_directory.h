// RouteDirectory: the RouteTable behind a lock, with those who are to hear of its changes: members
// by their sessions, clients by their route watches.
//
// Thread-safe; nothing waits. Everybody is told after the lock was let go, on the thread that
// brought the change. Nothing survives the process; `on_remembered` says when what is to survive
// has changed.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/access/access_control.h"
#include "services/broker/rpc/route_source.h"
#include "services/broker/topics/topic_watchers.h"
#include "services/nameservice/routes/route_queues.h"
#include "services/nameservice/routes/route_table.h"

namespace dunlin::nameservice {

// A Register call, as the directory sees it. Calls come without a lock, on any thread, and may come
// once more after Leave; they must not wait.
class MemberSession {
 public:
  virtual ~MemberSession() = default;
  virtual void OnSendTable() = 0;
  // DescribeGroup has something new.
  virtual void OnGroupChanged() = 0;
  // It is registered no more.
  virtual void OnEnded(const absl::Status& reason) = 0;
};

// For people: there is no topic of that name (in that zone).
std::string NoSuchTopic(std::string_view name, std::string_view zone);

class RouteDirectory final : public broker::RouteSource {
 public:
  // What is to survive the process; names of groups.
  struct Remembered {
    std::vector<std::string> groups;
    std::vector<std::string> read_only;
  };

  // `clock` must outlive the directory.
  RouteDirectory(const RouteTable::Options& options, const Clock& clock,
                 std::function<void()> on_remembered);

  // A number for a session that has come; Leave gives it back.
  SessionId Enter(const std::shared_ptr<MemberSession>& session) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(SessionId session) ABSL_LOCKS_EXCLUDED(mutex_);
  // Errors as of RouteTable: the session is to end with them. NOT_FOUND: it has been ended, and is
  // told so, or has never been registered; Update is Register for a session that was.
  absl::Status Register(SessionId session, const v1::Hello& hello) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Update(SessionId session, const v1::Hello& hello) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Apply(SessionId session, const v1::TopicTable& table) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Apply(SessionId session, const v1::TopicChanges& topics) ABSL_LOCKS_EXCLUDED(mutex_);
  void Hear(SessionId session) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Unregister(const v1::MemberIdentity& identity) ABSL_LOCKS_EXCLUDED(mutex_);
  // One that a name service has (RouteTable).
  void AddInsidePort(int32_t port) ABSL_LOCKS_EXCLUDED(mutex_);
  // A few times a second.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);

  // What will be to be remembered once SetGroupWritable is called. Errors: those of RouteTable.
  absl::StatusOr<Remembered> PrepareSetGroupWritable(const std::string& group, bool writable) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<uint32_t> SetGroupWritable(std::string_view group, bool writable)
      ABSL_LOCKS_EXCLUDED(mutex_);

  bool ready() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Empty: no such topic, as far as is known; ready() says how far.
  std::vector<QueuesAt> FindQueues(const apache::rocketmq::v2::Resource& topic,
                                   std::string_view qualified_name,
                                   const broker::RouteViewer& viewer) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<v1::GroupState> DescribeGroup(std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  v1::ListClustersResponse ListClusters() const ABSL_LOCKS_EXCLUDED(mutex_);
  v1::ListBrokerGroupsResponse ListGroups(const v1::ListBrokerGroupsRequest& asked) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  v1::ListTopicsResponse ListTopics(const v1::ListTopicsRequest& asked) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  Remembered remembered() const ABSL_LOCKS_EXCLUDED(mutex_);
  RouteTable::Counts counts() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t watches() const { return topic_watchers_.size(); }

  // RouteSource
  std::optional<v1::Route> FindRoute(const broker::RouteViewer& viewer,
                                     std::string_view qualified_name) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  v1::BrokerGroup FindGroup(const broker::RouteViewer& viewer, std::string_view name) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> FirstGroups() override { return {}; }
  broker::TopicWatchers& topic_watchers() override { return topic_watchers_; }
  broker::TopicWatchers& group_watchers() override { return group_watchers_; }
  const broker::AccessControl& access() const override { return everybody_; }

 private:
  std::shared_ptr<MemberSession> Find(SessionId session) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is to be said to whom, taken down under the lock.
  struct Calls {
    std::vector<std::shared_ptr<MemberSession>> send_table;
    std::vector<std::shared_ptr<MemberSession>> group_changed;
    std::vector<std::pair<std::shared_ptr<MemberSession>, absl::Status>> ended;
  };
  Calls CallsOf(const Changes& changes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(const Changes& changes, const Calls& calls) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs `event` on the table and tells what came of it.
  template <typename Event>
  auto Do(Event event) ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  const std::function<void()> on_remembered_;
  broker::TopicWatchers topic_watchers_;
  broker::TopicWatchers group_watchers_;
  const broker::AccessControl everybody_;  // may see routes: only brokers know users
  mutable Mutex mutex_;
  RouteTable table_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_session_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<SessionId, std::weak_ptr<MemberSession>> sessions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::nameservice
