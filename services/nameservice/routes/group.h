// RouteTable::Group: one broker group, who its members are and which topics it holds.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "services/base/clock.h"
#include "services/nameservice/routes/route_table.h"

namespace dunlin::nameservice {

struct RouteTable::Member {
  v1::Hello hello;  // the last one
  SessionId session;
  Timestamp heard;
  v1::DataVersion version;  // of the topics that it has, as far as it said
  bool asked = false;       // for all its topics, and they are not all there yet
  uint32_t round = 0;       // of its table, as far as all of that was taken; 0: not all

  bool has_external_endpoints() const { return !hello.external_endpoints().addresses().empty(); }
  // Where clients reach it that are outside of the brokers' network, or inside.
  const apache::rocketmq::v2::Endpoints& EndpointsFrom(bool outside) const {
    return outside && has_external_endpoints() ? hello.external_endpoints() : hello.endpoints();
  }
};

struct RouteTable::Group {
  Group(std::string named, std::string cluster_of)
      : name(std::move(named)), cluster(std::move(cluster_of)) {}

  // Null when there is none.
  const Member* master() const {
    for (const auto& [member, state] : members) {
      if (state.hello.role() == v1::MASTER) return &state;
    }
    return nullptr;
  }
  // Who stands in for a missing master: of those that may the one with the smallest id.
  const Member* acting_master() const {
    if (master() != nullptr) return nullptr;
    const Member* best = nullptr;
    for (const auto& [member, state] : members) {
      if (state.hello.role() != v1::SLAVE || !state.hello.acting_master_allowed()) continue;
      if (best == nullptr || state.hello.id() < best->hello.id()) best = &state;
    }
    return best;
  }
  // Whom clients are sent to.
  const Member* served_by() const {
    const Member* const member = master();
    return member != nullptr ? member : acting_master();
  }
  // The zone that its topics are told in; nullopt: in all. As long as there are members.
  std::optional<std::string> zone() const {
    const Member* const member = master();
    return member == nullptr ? std::nullopt : std::optional(member->hello.zone());
  }
  // Whose topics count: the master's, or those of the member with the smallest id.
  Member* speaker() {
    Member* best = nullptr;
    for (auto& [member, state] : members) {
      if (best == nullptr || state.hello.id() < best->hello.id()) best = &state;
    }
    return best;
  }

  const std::string name;
  std::string cluster;
  std::map<std::string, Member> members;  // by name; empty: all have gone
  Timestamp left;                         // when the last one went
  v1::DataVersion version;                // of `topics`
  bool complete = false;                  // `topics` are all of them
  bool lacks = false;                     // but for those that were left out
  uint32_t round = 0;                     // tables that were begun
  absl::flat_hash_set<Topic*> topics;
};

inline bool Equal(const v1::DataVersion& a, const v1::DataVersion& b) {
  return a.state_version() == b.state_version() && a.counter() == b.counter() &&
         a.timestamp_ms() == b.timestamp_ms();
}

// "namespace/name", or the name alone in the default namespace.
inline std::string QualifiedName(const apache::rocketmq::v2::Resource& topic) {
  if (topic.resource_namespace().empty()) return topic.name();
  return topic.resource_namespace() + '/' + topic.name();
}

}  // namespace dunlin::nameservice
