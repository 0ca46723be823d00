#include "services/replicator/driver/member_status.h"

#include <algorithm>
#include <chrono>

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

v1::Role OnWire(Role role) {
  switch (role) {
    case Role::kNone:
      return v1::NONE;
    case Role::kSlave:
      return v1::SLAVE;
    case Role::kMaster:
      return v1::MASTER;
  }
  return v1::NONE;
}

std::string Refusal(Accepting accepting) {
  switch (accepting) {
    case Accepting::kYes:
      return "";
    case Accepting::kNotMaster:
      return "it is not the master";
    case Accepting::kLeaseOver:
      return "the coordinator was not reached in time";
    case Accepting::kTooFewInSync:
      return "fewer members are in sync than replication.min_in_sync asks for";
    case Accepting::kNoQuorum:
      return "no majority of the members is connected";
    case Accepting::kSwitchover:
      return "another member takes over";
  }
  return "";
}

// 0: there is none left.
uint64_t MillisUntil(Instant then, Instant now) {
  using std::chrono::milliseconds;
  if (then <= now) return 0;
  return static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(then - now).count());
}

void AddSlaves(const Member& member, const Mastership& mastership, Instant now,
               v1::GetMemberResponse& response) {
  for (const auto& [name, slave] : mastership.slaves()) {
    if (slave.stream == 0) continue;
    v1::SlaveStatus& status = *response.add_slaves();
    status.set_member(name);
    status.set_learner(member.options().learners.contains(name));
    status.set_in_sync(mastership.in_sync().written().contains(name));
    const LogOffset received = slave.ack.has_value() ? slave.ack->received : LogOffset(0);
    status.set_received(received.value());
    status.set_flushed(slave.ack.has_value() ? slave.ack->flushed.value() : 0);
    status.set_lag_bytes(member.log().end - std::min(received, member.log().end));
    if (status.lag_bytes() > 0) status.set_lag_ms(MillisUntil(now, slave.caught_up_at));
  }
}

}  // namespace

v1::GetMemberResponse DescribeMember(const Member& member, std::string_view group,
                                     const std::string& problem, Instant now) {
  v1::GetMemberResponse response;
  response.set_group(std::string(group));
  response.set_member(member.options().name);
  response.set_role(OnWire(member.page().role));
  response.set_epoch(member.page().epoch.value());
  response.set_last_epoch(member.peer_state().position.epoch.value());
  response.set_highest_epoch(member.highest_epoch().value());
  response.set_begin(member.log().start.value());
  response.set_end(member.log().end.value());
  response.set_flushed(member.log().flushed.value());
  response.set_confirm(std::min(member.confirm(), member.log().end).value());
  if (member.view().has_value()) {
    if (member.view()->lease.has_value()) response.set_master(member.view()->lease->name);
    if (member.view()->record.has_value()) {
      for (const MemberName& name : member.view()->record->in_sync) response.add_in_sync(name);
    }
  }
  if (member.options().mode == Mode::kSync) {
    response.set_min_in_sync(static_cast<uint32_t>(member.options().min_in_sync));
  }
  if (member.mastership() != nullptr) {
    AddSlaves(member, *member.mastership(), now, response);
    if (member.HeldUntil() != kNever) {
      response.set_lease_remaining_ms(MillisUntil(member.HeldUntil(), now));
    }
  }
  response.set_accepting(member.page().accepting == Accepting::kYes);
  response.set_refusal(Refusal(member.page().accepting));
  response.set_problem(problem);
  response.set_by_pledges(member.GoesOnByPledges());
  response.set_learner(!member.options().members.contains(member.options().name));
  response.set_state(member.Describe());
  return response;
}

}  // namespace dunlin::replicator
