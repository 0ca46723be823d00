#include "services/nameservice/routes/route_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/nameservice/routes/group.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr uint32_t kMaxMemberId = 1'000'000;
constexpr size_t kMaxMembers = 64;
constexpr size_t kMaxName = 255;
constexpr int kMaxAddresses = 64;
constexpr uint32_t kMaxQueues = 65'536;

absl::Status CheckName(std::string_view what, std::string_view name) {
  if (!name.empty() && name.size() <= kMaxName) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} has {} bytes; 1 to {} are allowed", what, name.size(), kMaxName));
}

absl::Status CheckEndpoints(const v2::Endpoints& endpoints) {
  if (endpoints.addresses_size() < 1 || endpoints.addresses_size() > kMaxAddresses) {
    return absl::InvalidArgumentError(fmt::format("a hello with {} addresses; name 1 to {}",
                                                  endpoints.addresses_size(), kMaxAddresses));
  }
  for (const v2::Address& address : endpoints.addresses()) {
    if (address.host().empty() || address.host().size() > kMaxName || address.port() < 1 ||
        address.port() > 65'535) {
      return absl::InvalidArgumentError(
          fmt::format("a hello with the address \"{}\" port {}; give a host of at most {} bytes "
                      "and a port from 1 to 65535",
                      address.host(), address.port(), kMaxName));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHello(const v1::Hello& hello) {
  RETURN_IF_ERROR(CheckName("the name of the broker group", hello.identity().broker_group()));
  RETURN_IF_ERROR(CheckName("the name of the member", hello.identity().member()));
  RETURN_IF_ERROR(CheckName("the name of the cluster", hello.cluster()));
  if (hello.zone().size() > kMaxName) return CheckName("the zone", hello.zone());
  if (hello.role() != v1::MASTER && hello.role() != v1::SLAVE && hello.role() != v1::LEARNER) {
    return absl::InvalidArgumentError("a hello without a role: MASTER, SLAVE or LEARNER");
  }
  if ((hello.role() == v1::MASTER) != (hello.id() == 0) || hello.id() > kMaxMemberId) {
    return absl::InvalidArgumentError(
        fmt::format("a hello with role {} and id {}; the id is 0 for a MASTER, 1 to {} for others",
                    v1::MemberRole_Name(hello.role()), hello.id(), kMaxMemberId));
  }
  if (!hello.external_endpoints().addresses().empty()) {
    RETURN_IF_ERROR(CheckEndpoints(hello.external_endpoints()));
  }
  return CheckEndpoints(hello.endpoints());
}

absl::Status NoSession() {
  return absl::NotFoundError("the first request of a session is a hello");
}

}  // namespace

RouteTable::RouteTable(Options options, Timestamp now)
    : options_(std::move(options)),
      started_(now),
      awaited_(options_.awaited.begin(), options_.awaited.end()),
      read_only_(options_.read_only.begin(), options_.read_only.end()) {}

RouteTable::~RouteTable() = default;

bool RouteTable::Queues::SameAs(const Queues& other) const {
  return topic_id == other.topic_id && queues == other.queues &&
         write_queues == other.write_queues && kinds == other.kinds &&
         permission == other.permission;
}

absl::Status RouteTable::CheckEpoch(const Group& group, const v1::Hello& hello) const {
  for (const auto& [name, member] : group.members) {
    if (name == hello.identity().member()) {
      if (hello.identity().incarnation() < member.hello.identity().incarnation()) {
        return absl::FailedPreconditionError(
            fmt::format("member {} of broker group {} has been started anew since; this is an "
                        "older process",
                        name, group.name));
      }
      continue;
    }
    if (member.hello.id() == hello.id() && hello.epoch() <= member.hello.epoch()) {
      return absl::FailedPreconditionError(
          fmt::format("member {} has the id {} in broker group {} with epoch {}; with epoch {} {} "
                      "cannot have it, give it another id",
                      name, hello.id(), group.name, member.hello.epoch(), hello.epoch(),
                      hello.identity().member()));
    }
    if (hello.role() == v1::MASTER && hello.epoch() < member.hello.epoch()) {
      return absl::FailedPreconditionError(fmt::format(
          "member {} of broker group {} is in epoch {} already; {}, with epoch {}, is "
          "its master no more",
          name, group.name, member.hello.epoch(), hello.identity().member(), hello.epoch()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RouteTable::Group*> RouteTable::FindOrAddGroup(const v1::Hello& hello,
                                                              Changes& changes) {
  const std::string& name = hello.identity().broker_group();
  auto found = groups_.find(name);
  if (found == groups_.end()) {
    if (groups_.size() >= options_.max_groups) {
      return absl::ResourceExhaustedError(fmt::format(
          "the name service knows {} broker groups, and may know no more", options_.max_groups));
    }
    found = groups_.emplace(name, std::make_unique<Group>(name, hello.cluster())).first;
    counts_.groups = groups_.size();
    changes.remembered = true;
    return found->second.get();
  }
  Group& group = *found->second;
  const bool alone =
      group.members.empty() ||
      (group.members.size() == 1 && group.members.begin()->first == hello.identity().member());
  if (group.cluster != hello.cluster() && !alone) {
    return absl::FailedPreconditionError(
        fmt::format("broker group {} is in cluster {}, not in {}; names of groups are unique in "
                    "all clusters of a name service",
                    name, group.cluster, hello.cluster()));
  }
  if (group.members.size() >= kMaxMembers && !group.members.contains(hello.identity().member())) {
    return absl::ResourceExhaustedError(
        fmt::format("broker group {} has {} members, and may have no more", name, kMaxMembers));
  }
  RETURN_IF_ERROR(CheckEpoch(group, hello));
  group.cluster = hello.cluster();
  return &group;
}

absl::Status RouteTable::Register(SessionId session, const v1::Hello& hello, Timestamp now,
                                  Changes& changes) {
  ++counts_.hellos;
  absl::Status checked = CheckHello(hello);
  const auto known = sessions_.find(session);
  if (checked.ok() && known != sessions_.end() &&
      (known->second.group->name != hello.identity().broker_group() ||
       known->second.member != hello.identity().member())) {
    checked = absl::InvalidArgumentError("a session is of one member; open another one");
  }
  const absl::StatusOr<Group*> found =
      checked.ok() ? FindOrAddGroup(hello, changes) : absl::StatusOr<Group*>(checked);
  if (!found.ok()) {
    ++counts_.refused;
    return found.status();
  }
  Group& group = **found;
  const std::string& name = hello.identity().member();
  const Audience before = AudienceOf(group);
  for (auto other = group.members.begin(); other != group.members.end();) {
    const auto next = std::next(other);
    if (other->first != name && other->second.hello.id() == hello.id()) {
      EndSession(other->second.session,
                 absl::FailedPreconditionError(
                     fmt::format("member {} has the id {} of broker group {} now, with epoch {}",
                                 name, hello.id(), group.name, hello.epoch())),
                 changes);
      CountPorts(other->second.hello, -1);
      group.members.erase(other);
      --counts_.members;
    }
    other = next;
  }
  const auto [place, is_new] = group.members.try_emplace(name);
  Member& member = place->second;
  if (!is_new) CountPorts(member.hello, -1);
  CountPorts(hello, 1);
  if (is_new) {
    ++counts_.members;
  } else if (member.session != session) {
    EndSession(member.session,
               absl::AbortedError("a newer session of the same member has taken over"), changes);
    member.asked = false;
    member.round = 0;
  }
  member.session = session;
  member.hello = hello;
  member.heard = now;
  member.version = hello.topics_version();
  const bool begins = sessions_.insert_or_assign(session, Session{&group, name}).second;
  // There may be room now for what was left out.
  if (begins && group.lacks && &member == group.speaker()) group.complete = false;
  changes.groups.push_back(group.name);
  TellTopicsIfMoved(group, before, changes);
  AskForTopics(group, changes);
  LookIfReady(changes);
  return absl::OkStatus();
}

void RouteTable::CountPorts(const v1::Hello& hello, int by) {
  for (const v2::Address& address : hello.endpoints().addresses()) {
    if ((inside_ports_[address.port()] += by) == 0) inside_ports_.erase(address.port());
  }
}

void RouteTable::EndSession(SessionId session, absl::Status reason, Changes& changes) {
  sessions_.erase(session);
  changes.ended.push_back({session, std::move(reason)});
}

void RouteTable::TellTopics(const Group& group, Changes& changes) const {
  changes.topics.reserve(changes.topics.size() + group.topics.size());
  for (const Topic* topic : group.topics) changes.topics.push_back(topic->name);
}

RouteTable::Audience RouteTable::AudienceOf(const Group& group) {
  return {!group.members.empty(), group.zone()};
}

void RouteTable::TellTopicsIfMoved(const Group& group, const Audience& before,
                                   Changes& changes) const {
  const Audience now = AudienceOf(group);
  // Where nobody watches one zone alone, a group that gets another master is one change, however
  // many topics it holds.
  const bool moved = zones_are_watched_ && now.zone != before.zone;
  if (now.anywhere != before.anywhere || moved) TellTopics(group, changes);
}

void RouteTable::AskForTopics(Group& group, Changes& changes) {
  Member* const speaker = group.speaker();
  if (speaker == nullptr || speaker->asked) return;
  if (group.complete && Equal(group.version, speaker->version)) return;
  speaker->asked = true;
  ++counts_.tables_asked_for;
  changes.send_table.push_back(speaker->session);
}

void RouteTable::LookIfReady(Changes& changes) {
  if (ready_ || awaited_.empty()) return;  // who waits for nobody in particular waits for all
  std::erase_if(awaited_, [this](const std::string& name) {
    const auto group = groups_.find(name);
    return group != groups_.end() && group->second->complete && !group->second->members.empty();
  });
  if (!awaited_.empty()) return;
  ready_ = true;
  changes.ready = true;
}

absl::Status RouteTable::Put(Group& group, const v1::RegisteredTopic& told, Changes& changes) {
  std::string name = QualifiedName(told.topic());
  RETURN_IF_ERROR(CheckName("the name of a topic", told.topic().name()));
  if (told.topic().resource_namespace().size() > kMaxName) {
    return CheckName("the namespace of a topic", told.topic().resource_namespace());
  }
  const uint32_t write_queues = told.write_queues() == 0 ? told.queues() : told.write_queues();
  if (told.queues() < 1 || told.queues() > kMaxQueues || write_queues > told.queues()) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} with {} queues, {} of them to be written; 1 to {}, and no more of "
                    "the latter",
                    name, told.queues(), write_queues, kMaxQueues));
  }
  if (told.permission() < v2::NONE || told.permission() > v2::READ_WRITE) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} with permission {}; there are NONE, READ, WRITE, READ_WRITE", name,
                    static_cast<int>(told.permission())));
  }
  Queues queues{&group,
                told.topic_id(),
                told.queues(),
                write_queues,
                group.round,
                0,
                static_cast<uint8_t>(told.permission())};
  for (const int kind : told.accept_message_types()) {
    if (kind > 0 && kind < 8) queues.kinds |= static_cast<uint8_t>(1 << kind);
  }
  auto topic = topics_.find(name);
  if (topic == topics_.end()) {
    if (topics_.size() >= options_.max_topics) {
      return absl::ResourceExhaustedError(fmt::format(
          "the name service knows {} topics, and may know no more", options_.max_topics));
    }
    auto made = std::make_unique<Topic>();
    made->name = std::move(name);
    topic = topics_.emplace(std::string_view(made->name), std::move(made)).first;
    counts_.topics = topics_.size();
  }
  std::vector<Queues>& all = topic->second->queues;
  const auto place = std::lower_bound(
      all.begin(), all.end(), group.name,
      [](const Queues& one, const std::string& other) { return one.group->name < other; });
  if (place != all.end() && place->group == &group) {
    const bool same = place->SameAs(queues);
    *place = queues;
    if (same) return absl::OkStatus();
  } else {
    all.insert(place, queues);
    group.topics.insert(topic->second.get());
    ++counts_.queues;
  }
  changes.topics.push_back(topic->second->name);
  return absl::OkStatus();
}

void RouteTable::PutOrLeaveOut(Group& group, const v1::RegisteredTopic& told, Changes& changes) {
  const absl::Status put = Put(group, told, changes);
  if (put.ok()) return;
  // What was known of it is not what the broker says now.
  DropIfHeld(group, told.topic(), changes);
  group.lacks = true;
  ++counts_.left_out;
  if (!changes.left_out.ok()) return;
  changes.left_out =
      absl::Status(put.code(), fmt::format("topic {} of broker group {}: {}", told.topic().name(),
                                           group.name, std::string(put.message())));
}

void RouteTable::DropIfHeld(Group& group, const v2::Resource& topic, Changes& changes) {
  const auto known = topics_.find(QualifiedName(topic));
  if (known == topics_.end() || !group.topics.contains(known->second.get())) return;
  Drop(group, *known->second, changes);
}

void RouteTable::Drop(Group& group, Topic& topic, Changes& changes) {
  std::erase_if(topic.queues, [&](const Queues& queues) { return queues.group == &group; });
  group.topics.erase(&topic);
  --counts_.queues;
  changes.topics.push_back(topic.name);
  if (!topic.queues.empty()) return;
  topics_.erase(topic.name);
  counts_.topics = topics_.size();
}

absl::Status RouteTable::Apply(SessionId session, const v1::TopicTable& table, Changes& changes) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return NoSession();
  Group& group = *found->second.group;
  Member& member = group.members.at(found->second.member);
  if (!member.asked) {
    return absl::InvalidArgumentError("a table of topics that nobody asked for; send changes");
  }
  const bool speaks = &member == group.speaker();
  if (speaks && table.first()) {
    member.round = ++group.round;
    group.complete = false;
    group.lacks = false;
  }
  // Somebody else spoke for the group when it began, or does so now: some pieces are passed over,
  // so all are.
  if (!speaks || member.round == 0 || member.round != group.round) {
    member.round = 0;
    if (table.last()) {
      member.asked = false;
      member.version = table.version();
      AskForTopics(group, changes);
    }
    return absl::OkStatus();
  }
  for (const v1::RegisteredTopic& topic : table.topics()) {
    PutOrLeaveOut(group, topic, changes);
  }
  if (!table.last()) return absl::OkStatus();
  std::vector<Topic*> gone;
  for (Topic* topic : group.topics) {
    for (const Queues& queues : topic->queues) {
      if (queues.group == &group && queues.round != group.round) gone.push_back(topic);
    }
  }
  for (Topic* topic : gone) Drop(group, *topic, changes);
  member.asked = false;
  member.version = table.version();
  group.version = table.version();
  group.complete = true;
  ++counts_.tables;
  LookIfReady(changes);
  return absl::OkStatus();
}

absl::Status RouteTable::Apply(SessionId session, const v1::TopicChanges& topics,
                               Changes& changes) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return NoSession();
  Group& group = *found->second.group;
  Member& member = group.members.at(found->second.member);
  member.version = topics.version();
  if (&member != group.speaker() || member.asked) return absl::OkStatus();
  if (!group.complete || !Equal(group.version, topics.base())) {
    AskForTopics(group, changes);
    return absl::OkStatus();
  }
  ++counts_.topic_changes;
  for (const v1::RegisteredTopic& topic : topics.changed()) {
    PutOrLeaveOut(group, topic, changes);
  }
  for (const v2::Resource& topic : topics.deleted()) {
    DropIfHeld(group, topic, changes);
  }
  group.version = topics.version();
  return absl::OkStatus();
}

void RouteTable::Hear(SessionId session, Timestamp now) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.group->members.at(found->second.member).heard = now;
}

void RouteTable::RemoveMember(Group& group, const std::string& name, Timestamp now,
                              Changes& changes) {
  const Audience before = AudienceOf(group);
  CountPorts(group.members.at(name).hello, -1);
  group.members.erase(name);
  --counts_.members;
  changes.groups.push_back(group.name);
  if (group.members.empty()) group.left = now;
  TellTopicsIfMoved(group, before, changes);
  AskForTopics(group, changes);
}

void RouteTable::Leave(SessionId session, Timestamp now, Changes& changes) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const Session left = found->second;
  sessions_.erase(found);
  RemoveMember(*left.group, left.member, now, changes);
}

absl::Status RouteTable::Unregister(const v1::MemberIdentity& identity, Timestamp now,
                                    Changes& changes) {
  const auto group = groups_.find(identity.broker_group());
  if (group != groups_.end()) {
    const auto member = group->second->members.find(identity.member());
    if (member != group->second->members.end() &&
        (identity.incarnation() == 0 ||
         identity.incarnation() == member->second.hello.identity().incarnation())) {
      EndSession(member->second.session, absl::AbortedError("the member was unregistered"),
                 changes);
      RemoveMember(*group->second, identity.member(), now, changes);
      return absl::OkStatus();
    }
  }
  return absl::NotFoundError(fmt::format(
      "member {} of broker group {} is not registered{}", identity.member(),
      identity.broker_group(),
      identity.incarnation() == 0 ? std::string()
                                  : fmt::format(" with incarnation {}", identity.incarnation())));
}

void RouteTable::Step(Timestamp now, Changes& changes) {
  std::vector<SessionId> silent;
  for (const auto& [session, state] : sessions_) {
    const Member& member = state.group->members.at(state.member);
    if (now - member.heard >= options_.session_timeout) silent.push_back(session);
  }
  for (const SessionId session : silent) {
    const Session state = sessions_.at(session);
    EndSession(session,
               absl::DeadlineExceededError(fmt::format("the session said nothing for {} ms",
                                                       options_.session_timeout.count())),
               changes);
    RemoveMember(*state.group, state.member, now, changes);
    ++counts_.timed_out;
  }
  for (auto group = groups_.begin(); group != groups_.end();) {
    const auto next = std::next(group);
    if (group->second->members.empty() && now - group->second->left >= options_.group_retention) {
      Forget(group, changes);
    }
    group = next;
  }
  if (!ready_ && now - started_ >= options_.start_grace) {
    ready_ = true;
    awaited_.clear();
    changes.ready = true;
    changes.remembered = true;
  }
}

void RouteTable::Forget(Groups::iterator group, Changes& changes) {
  Changes unseen;  // its topics were in no route any more
  const std::vector<Topic*> topics(group->second->topics.begin(), group->second->topics.end());
  for (Topic* topic : topics) Drop(*group->second, *topic, unseen);
  groups_.erase(group);
  counts_.groups = groups_.size();
  changes.remembered = true;
}

absl::Status RouteTable::CheckSetGroupWritable(std::string_view group, bool writable) const {
  if (groups_.contains(group) || (writable && read_only_.contains(group))) return absl::OkStatus();
  return absl::NotFoundError(fmt::format("there is no broker group {}", group));
}

absl::StatusOr<uint32_t> RouteTable::SetGroupWritable(std::string_view group, bool writable,
                                                      Changes& changes) {
  RETURN_IF_ERROR(CheckSetGroupWritable(group, writable));
  const std::string name(group);
  const bool changed = writable ? read_only_.erase(name) > 0 : read_only_.emplace(name).second;
  if (changed) {
    changes.groups.push_back(name);
    changes.remembered = true;
  }
  const auto found = groups_.find(group);
  return found == groups_.end() ? 0 : static_cast<uint32_t>(found->second->topics.size());
}

std::vector<std::string> RouteTable::remembered_groups() const {
  std::set<std::string> names(awaited_);
  for (const auto& [name, group] : groups_) names.insert(name);
  return {names.begin(), names.end()};
}

}  // namespace dunlin::nameservice
