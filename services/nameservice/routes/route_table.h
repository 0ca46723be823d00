// RouteTable: what a name service knows: clusters, broker groups, their members and topics.
//
// Pure: no threads, no clock, no I/O. Sessions of members, their requests and the time come in;
// which routes are others now, and what is to be said to whom, come out (Changes). A change costs
// what has changed: a group that gets another master, or that is made read-only, is one change of a
// group however many topics it holds.
//
// Not thread-safe. Nothing survives the process; it begins with what `Options` remembers of the
// groups that there were, and says nothing of routes until they are back (ready()).

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/base/clock.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"
#include "services/nameservice/routes/route_queues.h"

namespace dunlin::nameservice {

// One Register call.
using SessionId = StrongInt<struct SessionIdTag, uint64_t>;

// What came of an event.
struct Changes {
  std::vector<std::string> topics;  // qualified names; their routes are others now
  std::vector<std::string> groups;  // their members, or what they may do, are others now
  std::vector<SessionId> send_table;
  struct End {
    SessionId session;
    absl::Status reason;
  };
  std::vector<End> ended;   // they are forgotten already
  bool ready = false;       // from now on routes are told
  bool remembered = false;  // remembered_groups() or read_only_groups() are others now
  absl::Status left_out;    // why a topic is in no route of its broker; of several the first
};

class RouteTable {
 public:
  struct Options {
    std::chrono::milliseconds session_timeout{10'000};
    // Routes are told when all groups of `awaited` are back, or when so much time has passed.
    std::chrono::milliseconds start_grace{10'000};
    // A group whose members have all gone is remembered, with its topics, for so long.
    std::chrono::milliseconds group_retention{600'000};
    size_t max_groups = 10'000;
    size_t max_topics = 10'000'000;  // names
    std::vector<std::string> awaited;
    std::vector<std::string> read_only;
  };

  RouteTable(Options options, Timestamp now);
  ~RouteTable();

  // Sessions. A hello that is refused leaves no trace; the session is to be ended with the error,
  // and Leave called if it was registered before.
  absl::Status Register(SessionId session, const v1::Hello& hello, Timestamp now, Changes& changes);
  // NOT_FOUND: no member is registered by this session, or it has been ended. A topic that makes no
  // sense, or that is one too many, is left out of the group's.
  absl::Status Apply(SessionId session, const v1::TopicTable& table, Changes& changes);
  absl::Status Apply(SessionId session, const v1::TopicChanges& topics, Changes& changes);
  bool IsRegistered(SessionId session) const { return sessions_.contains(session); }
  // Something came; also before a request is applied.
  void Hear(SessionId session, Timestamp now);
  // The session has ended. Fine when it is not known.
  void Leave(SessionId session, Timestamp now, Changes& changes);
  // Incarnation 0: whichever it is. NOT_FOUND.
  absl::Status Unregister(const v1::MemberIdentity& identity, Timestamp now, Changes& changes);
  // What time alone does; to be called a few times a second.
  void Step(Timestamp now, Changes& changes);

  // NOT_FOUND: there is no such group. One that has been forgotten can be made writable, though it
  // is only by its name that it is read-only.
  absl::Status CheckSetGroupWritable(std::string_view group, bool writable) const;
  // The topics that it concerns. Errors: those of CheckSetGroupWritable.
  absl::StatusOr<uint32_t> SetGroupWritable(std::string_view group, bool writable,
                                            Changes& changes);

  // Routes may be told. Once true it stays so.
  bool ready() const { return ready_; }
  // For `awaited` and `read_only` of the next start.
  std::vector<std::string> remembered_groups() const;
  std::vector<std::string> read_only_groups() const {
    return {read_only_.begin(), read_only_.end()};
  }

  // Somebody wants to hear of changes of routes in one zone: from now on those of a group are told
  // when its zone changes.
  void WatchZones() { zones_are_watched_ = true; }
  // The route of a topic, with a version and a status whose text is left to the caller: OK, or
  // TOPIC_NOT_FOUND. Of brokers in `zone` unless that is empty.
  v1::Route FindRoute(std::string_view qualified_name, std::string_view zone = {}) const;
  // A group as clients see it that have reached us so; without members when there is none.
  v1::BrokerGroup FindGroup(std::string_view name,
                            const apache::rocketmq::v2::Endpoints& reached = {}) const;
  // The same route for those who ask by QueryRoute. Empty: no such topic.
  std::vector<QueuesAt> FindQueues(const apache::rocketmq::v2::Resource& topic,
                                   std::string_view qualified_name, std::string_view zone,
                                   const apache::rocketmq::v2::Endpoints& reached = {}) const;

  // One that a name service has: clients that reach one by it are inside the brokers' network.
  void AddInsidePort(int32_t port) { ++inside_ports_[port]; }

  // For tools and members.
  std::optional<v1::GroupState> DescribeGroup(std::string_view name, Timestamp now) const;
  std::vector<SessionId> SessionsOf(std::string_view group) const;
  v1::ListClustersResponse ListClusters() const;
  v1::ListBrokerGroupsResponse ListGroups(const v1::ListBrokerGroupsRequest& asked,
                                          Timestamp now) const;
  // Looks at so many queues at most, and leaves the rest to the next page.
  v1::ListTopicsResponse ListTopics(const v1::ListTopicsRequest& asked) const;

  struct Counts {
    size_t groups = 0;
    size_t members = 0;
    size_t topics = 0;
    size_t queues = 0;  // pairs of a topic and a group
    uint64_t hellos = 0;
    uint64_t refused = 0;
    uint64_t tables_asked_for = 0;
    uint64_t tables = 0;
    uint64_t topic_changes = 0;
    uint64_t left_out = 0;  // topics
    uint64_t timed_out = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Group;
  struct Member;
  // The queues of a topic at a group.
  struct Queues {
    Group* group;
    uint32_t topic_id;
    uint32_t queues;
    uint32_t write_queues;
    uint32_t round;  // of the table that named it last
    uint8_t kinds;   // bits: 1 << MessageType
    uint8_t permission;

    bool SameAs(const Queues& other) const;
  };
  struct Topic {
    std::string name;            // qualified
    std::vector<Queues> queues;  // by name of the group
  };
  struct Session {
    Group* group;
    std::string member;
  };
  using Topics = absl::btree_map<std::string_view, std::unique_ptr<Topic>>;
  using Groups = std::map<std::string, std::unique_ptr<Group>, std::less<>>;

  absl::Status CheckEpoch(const Group& group, const v1::Hello& hello) const;
  absl::StatusOr<Group*> FindOrAddGroup(const v1::Hello& hello, Changes& changes);
  void EndSession(SessionId session, absl::Status reason, Changes& changes);
  void RemoveMember(Group& group, const std::string& name, Timestamp now, Changes& changes);
  void TellTopics(const Group& group, Changes& changes) const;
  // Where a group's topics are told.
  struct Audience {
    bool anywhere = false;            // there are members
    std::optional<std::string> zone;  // nullopt: in all zones
  };
  static Audience AudienceOf(const Group& group);
  // Tells the topics of a group whose members have changed, if that makes their routes others.
  void TellTopicsIfMoved(const Group& group, const Audience& before, Changes& changes) const;
  // Asks who speaks for the group for its topics, unless they are known.
  void AskForTopics(Group& group, Changes& changes);
  void LookIfReady(Changes& changes);
  void Forget(Groups::iterator group, Changes& changes);

  absl::Status Put(Group& group, const v1::RegisteredTopic& told, Changes& changes);
  void PutOrLeaveOut(Group& group, const v1::RegisteredTopic& told, Changes& changes);
  void Drop(Group& group, Topic& topic, Changes& changes);
  void DropIfHeld(Group& group, const apache::rocketmq::v2::Resource& topic, Changes& changes);

  // The ports of a member that comes (1) or goes (-1).
  void CountPorts(const v1::Hello& hello, int by);
  // Who has reached us by a port that nobody inside has is outside; who does not say is inside.
  bool IsOutside(const apache::rocketmq::v2::Endpoints& reached) const;
  static bool InZone(const Group& group, std::string_view zone);
  v1::Route RouteOf(const Topic& topic, std::string_view zone) const;

  const Options options_;
  const Timestamp started_;
  bool ready_ = false;
  bool zones_are_watched_ = false;
  std::set<std::string> awaited_;
  std::set<std::string, std::less<>> read_only_;
  Groups groups_;
  Topics topics_;
  absl::flat_hash_map<SessionId, Session> sessions_;
  absl::flat_hash_map<int32_t, int> inside_ports_;  // how many have it
  Counts counts_;
};

}  // namespace dunlin::nameservice
