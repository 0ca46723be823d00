#include "operator/planner/coordination.h"

#include <string>
#include <string_view>

#include "operator/k8s/object.h"

namespace dunlin::op {
namespace {

Seat SeatOf(const k8s::Json& member) {
  const auto is = [&](std::string_view what) {
    const k8s::Json* const found = k8s::Find(member, {what});
    return found != nullptr && found->is_boolean() && found->get<bool>();
  };
  if (is("joining")) return Seat::kJoining;
  return is("learner") ? Seat::kLearner : Seat::kVoter;
}

}  // namespace

std::optional<Coordination> CoordinationOf(const k8s::Json& lease) {
  const std::string_view text = k8s::AnnotationOf(lease, "dunlin.dev/record");
  if (text.empty()) return Coordination{};
  const absl::StatusOr<k8s::Json> record = k8s::ParseJson(text);
  if (!record.ok() || !record->is_object()) return std::nullopt;
  Coordination coordination{.epoch = k8s::IntAt(*record, {"epoch"}), .master = "", .in_sync = {}};
  // The printer of JSON leaves nothing out, but calls fields as it likes.
  for (const std::string_view name : {"inSync", "in_sync"}) {
    const k8s::Json* const members = k8s::Find(*record, {name});
    if (members == nullptr || !members->is_array()) continue;
    for (const k8s::Json& member : *members) {
      if (!member.is_string()) return std::nullopt;
      coordination.in_sync.insert(member.get<std::string>());
    }
  }
  if (const k8s::Json* const members = k8s::Find(*record, {"members"})) {
    if (!members->is_array()) return std::nullopt;
    for (const k8s::Json& member : *members) {
      const std::string_view name = k8s::StringAt(member, {"name"});
      if (name.empty()) return std::nullopt;
      coordination.members[std::string(name)] = SeatOf(member);
    }
  }
  // The record names the last master, whether it lives or not; whoever holds the Lease is one now.
  if (!k8s::StringAt(lease, {"spec", "holderIdentity"}).empty()) {
    coordination.master = k8s::StringAt(*record, {"master"});
  }
  return coordination;
}

}  // namespace dunlin::op
