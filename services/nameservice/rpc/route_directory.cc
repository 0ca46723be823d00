#include "services/nameservice/rpc/route_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::nameservice {
namespace {

// Each takes memory until its stream ends.
constexpr size_t kMaxTopicWatches = 2'000'000;
constexpr size_t kMaxGroupWatches = 1'000'000;

}  // namespace

RouteDirectory::RouteDirectory(const RouteTable::Options& options, const Clock& clock,
                               std::function<void()> on_remembered)
    : clock_(clock),
      on_remembered_(std::move(on_remembered)),
      topic_watchers_(kMaxTopicWatches),
      group_watchers_(kMaxGroupWatches),
      table_(options, clock.Now()) {}

std::shared_ptr<MemberSession> RouteDirectory::Find(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second.lock();
}

RouteDirectory::Calls RouteDirectory::CallsOf(const Changes& changes) const {
  Calls calls;
  for (const SessionId session : changes.send_table) {
    if (auto told = Find(session); told != nullptr) calls.send_table.push_back(std::move(told));
  }
  for (const Changes::End& end : changes.ended) {
    if (auto told = Find(end.session); told != nullptr) {
      calls.ended.emplace_back(std::move(told), end.reason);
    }
  }
  for (const std::string& group : changes.groups) {
    for (const SessionId session : table_.SessionsOf(group)) {
      if (auto told = Find(session); told != nullptr) {
        calls.group_changed.push_back(std::move(told));
      }
    }
  }
  return calls;
}

void RouteDirectory::Tell(const Changes& changes, const Calls& calls) const {
  if (!changes.left_out.ok()) {
    log::Warning("a topic is left out of routes: {}", changes.left_out.ToString());
  }
  for (const auto& [session, reason] : calls.ended) session->OnEnded(reason);
  for (const auto& session : calls.group_changed) session->OnGroupChanged();
  for (const auto& session : calls.send_table) session->OnSendTable();
  if (changes.ready) {
    topic_watchers_.TellAll();
  } else {
    for (const std::string& topic : changes.topics) topic_watchers_.Tell(topic);
  }
  for (const std::string& group : changes.groups) group_watchers_.Tell(group);
  if (changes.remembered) on_remembered_();
}

template <typename Event>
auto RouteDirectory::Do(Event event) {
  Changes changes;
  Calls calls;
  const Timestamp now = clock_.Now();
  mutex_.Lock();
  auto result = event(table_, now, changes);
  calls = CallsOf(changes);
  mutex_.Unlock();
  Tell(changes, calls);
  return result;
}

SessionId RouteDirectory::Enter(const std::shared_ptr<MemberSession>& session) {
  MutexLock lock(mutex_);
  const SessionId id(++last_session_);
  sessions_.emplace(id, session);
  return id;
}

void RouteDirectory::Leave(SessionId session) {
  Do([session](RouteTable& table, Timestamp now, Changes& changes) {
    table.Leave(session, now, changes);
    return 0;
  });
  MutexLock lock(mutex_);
  sessions_.erase(session);
}

absl::Status RouteDirectory::Register(SessionId session, const v1::Hello& hello) {
  return Do([&](RouteTable& table, Timestamp now, Changes& changes) {
    return table.Register(session, hello, now, changes);
  });
}

absl::Status RouteDirectory::Update(SessionId session, const v1::Hello& hello) {
  return Do([&](RouteTable& table, Timestamp now, Changes& changes) {
    if (!table.IsRegistered(session)) return absl::NotFoundError("the session has ended");
    return table.Register(session, hello, now, changes);
  });
}

absl::Status RouteDirectory::Apply(SessionId session, const v1::TopicTable& topics) {
  return Do([&](RouteTable& table, Timestamp now, Changes& changes) {
    table.Hear(session, now);
    return table.Apply(session, topics, changes);
  });
}

absl::Status RouteDirectory::Apply(SessionId session, const v1::TopicChanges& topics) {
  return Do([&](RouteTable& table, Timestamp now, Changes& changes) {
    table.Hear(session, now);
    return table.Apply(session, topics, changes);
  });
}

void RouteDirectory::Hear(SessionId session) {
  const Timestamp now = clock_.Now();
  MutexLock lock(mutex_);
  table_.Hear(session, now);
}

absl::Status RouteDirectory::Unregister(const v1::MemberIdentity& identity) {
  return Do([&](RouteTable& table, Timestamp now, Changes& changes) {
    return table.Unregister(identity, now, changes);
  });
}

void RouteDirectory::Step() {
  Do([](RouteTable& table, Timestamp now, Changes& changes) {
    table.Step(now, changes);
    return 0;
  });
}

absl::StatusOr<RouteDirectory::Remembered> RouteDirectory::PrepareSetGroupWritable(
    const std::string& group, bool writable) const {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(table_.CheckSetGroupWritable(group, writable));
  Remembered then{table_.remembered_groups(), table_.read_only_groups()};
  std::erase(then.read_only, group);
  if (!writable) {
    const auto place = std::lower_bound(then.read_only.begin(), then.read_only.end(), group);
    then.read_only.insert(place, group);
  }
  return then;
}

absl::StatusOr<uint32_t> RouteDirectory::SetGroupWritable(std::string_view group, bool writable) {
  return Do([&](RouteTable& table, Timestamp /*now*/, Changes& changes) {
    return table.SetGroupWritable(group, writable, changes);
  });
}

bool RouteDirectory::ready() const {
  MutexLock lock(mutex_);
  return table_.ready();
}

std::vector<QueuesAt> RouteDirectory::FindQueues(const apache::rocketmq::v2::Resource& topic,
                                                 std::string_view qualified_name,
                                                 const broker::RouteViewer& viewer) const {
  MutexLock lock(mutex_);
  return table_.FindQueues(topic, qualified_name, viewer.zone, viewer.endpoints);
}

std::optional<v1::GroupState> RouteDirectory::DescribeGroup(std::string_view name) const {
  const Timestamp now = clock_.Now();
  MutexLock lock(mutex_);
  return table_.DescribeGroup(name, now);
}

v1::ListClustersResponse RouteDirectory::ListClusters() const {
  MutexLock lock(mutex_);
  return table_.ListClusters();
}

v1::ListBrokerGroupsResponse RouteDirectory::ListGroups(
    const v1::ListBrokerGroupsRequest& asked) const {
  const Timestamp now = clock_.Now();
  MutexLock lock(mutex_);
  return table_.ListGroups(asked, now);
}

v1::ListTopicsResponse RouteDirectory::ListTopics(const v1::ListTopicsRequest& asked) const {
  MutexLock lock(mutex_);
  return table_.ListTopics(asked);
}

RouteDirectory::Remembered RouteDirectory::remembered() const {
  MutexLock lock(mutex_);
  return {table_.remembered_groups(), table_.read_only_groups()};
}

RouteTable::Counts RouteDirectory::counts() const {
  MutexLock lock(mutex_);
  return table_.counts();
}

std::optional<v1::Route> RouteDirectory::FindRoute(const broker::RouteViewer& viewer,
                                                   std::string_view qualified_name) {
  v1::Route route;
  {
    MutexLock lock(mutex_);
    if (!viewer.zone.empty()) table_.WatchZones();
    if (!table_.ready()) return std::nullopt;
    route = table_.FindRoute(qualified_name, viewer.zone);
  }
  if (route.status().code() == apache::rocketmq::v2::OK) {
    route.mutable_status()->set_message("OK");
  } else {
    route.mutable_status()->set_message(NoSuchTopic(route.topic().name(), viewer.zone));
  }
  return route;
}

v1::BrokerGroup RouteDirectory::FindGroup(const broker::RouteViewer& viewer,
                                          std::string_view name) {
  MutexLock lock(mutex_);
  return table_.FindGroup(name, viewer.endpoints);
}

void RouteDirectory::AddInsidePort(int32_t port) {
  MutexLock lock(mutex_);
  table_.AddInsidePort(port);
}

std::string NoSuchTopic(std::string_view name, std::string_view zone) {
  if (!zone.empty()) {
    return fmt::format("no broker in zone {} holds a topic {}, as far as this name service knows",
                       zone, name);
  }
  return fmt::format(
      "no broker that this name service knows holds a topic {}; make it with `dunlinctl --endpoint "
      "BROKER topic create {}`",
      name, name);
}

}  // namespace dunlin::nameservice
