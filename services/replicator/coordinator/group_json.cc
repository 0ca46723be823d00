#include "services/replicator/coordinator/group_json.h"

#include <fmt/format.h>

#include "absl/status/status.h"
#include "google/protobuf/util/json_util.h"

#include "proto/dunlin/coordination/v1/group.pb.h"
#include "services/base/check.h"

namespace dunlin::replicator {
namespace {

namespace pb = dunlin::coordination::v1;

std::string Print(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  CHECK(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
  return text;
}

absl::Status Parse(const std::string& text, google::protobuf::Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::DataLossError(fmt::format("the coordinator holds what is not a {}: '{}'",
                                         message.GetDescriptor()->name(), text.substr(0, 200)));
}

void AddMembers(const Roster& roster, pb::GroupRecord& message) {
  for (const auto& [name, entry] : roster.entries) {
    pb::GroupMember& member = *message.add_members();
    member.set_name(name);
    member.set_address(entry.address);
    member.set_learner(entry.seat != Seat::kVoter);
    member.set_joining(entry.seat == Seat::kJoining);
    member.set_id(entry.id);
  }
  message.set_last_member_id(roster.last_id);
}

Roster RosterOf(const pb::GroupRecord& message) {
  Roster roster{.entries = {}, .last_id = message.last_member_id()};
  for (const pb::GroupMember& member : message.members()) {
    roster.entries[member.name()] = {.address = member.address(),
                                     .seat = member.joining()   ? Seat::kJoining
                                             : member.learner() ? Seat::kLearner
                                                                : Seat::kVoter,
                                     .id = member.id()};
  }
  return roster;
}

}  // namespace

std::string ToJson(const GroupRecord& record) {
  pb::GroupRecord message;
  message.set_epoch(record.epoch.value());
  message.set_master(record.master);
  for (const MemberName& name : record.in_sync) message.add_in_sync(name);
  message.set_preferred(record.preferred);
  message.set_unclean_epoch(record.unclean_epoch.value());
  AddMembers(record.roster, message);
  return Print(message);
}

std::string ToJson(const LeaseHolder& lease) {
  pb::GroupLease message;
  message.set_holder(lease.name);
  message.set_epoch(lease.epoch.value());
  return Print(message);
}

absl::StatusOr<GroupRecord> GroupRecordFromJson(const std::string& text) {
  pb::GroupRecord message;
  if (absl::Status status = Parse(text, message); !status.ok()) return status;
  return GroupRecord{.epoch = Epoch(message.epoch()),
                     .master = message.master(),
                     .in_sync = {message.in_sync().begin(), message.in_sync().end()},
                     .preferred = message.preferred(),
                     .unclean_epoch = Epoch(message.unclean_epoch()),
                     .roster = RosterOf(message)};
}

absl::StatusOr<LeaseHolder> LeaseHolderFromJson(const std::string& text) {
  pb::GroupLease message;
  if (absl::Status status = Parse(text, message); !status.ok()) return status;
  return LeaseHolder{message.holder(), Epoch(message.epoch())};
}

}  // namespace dunlin::replicator
