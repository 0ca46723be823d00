// Who the others are: as the configuration says until the group's record says it, and changes it.
#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "services/base/log.h"
#include "services/replicator/driver/member_driver.h"

namespace dunlin::replicator {
namespace {

std::string TextOf(const Roster& roster) {
  std::string text;
  for (const auto& [name, entry] : roster.entries) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{}={}", name, entry.address);
    if (entry.seat != Seat::kVoter) {
      text += entry.seat == Seat::kJoining ? " (joins)" : " (learner)";
    }
  }
  return text;
}

}  // namespace

void MemberDriver::ApplyRoster() {
  const Roster& roster = member_->options().roster;
  if (roster == roster_ || roster.empty()) return;
  if (!roster_.empty()) log::Info("the members of the group are {}", TextOf(roster));
  const std::string self = options_.identity.member;
  std::set<MemberName> others;
  std::map<MemberName, std::string> addresses;
  for (const auto& [name, entry] : roster.entries) {
    addresses.emplace(name, entry.address);
    if (name != self) others.insert(name);
  }
  sender_->SetOthers(others);
  peers_->SetAddresses(addresses);
  addresses_ = std::move(addresses);
  if (const auto own = roster.entries.find(self); own != roster.entries.end()) {
    page_->SetMember({.id = own->second.id, .learner = own->second.seat != Seat::kVoter});
  }
  // The master is the same, and somewhere else.
  const auto before = roster_.entries.find(followed_);
  const auto master = roster.entries.find(followed_);
  const bool moved = before != roster_.entries.end() && master != roster.entries.end() &&
                     before->second.address != master->second.address;
  roster_ = roster;
  if (moved) Do(action::Follow{followed_});
}

void MemberDriver::DescribeRoster(v1::GetMemberResponse& description) const {
  for (const auto& [name, address] : addresses_) {
    v1::MemberAddress& member = *description.add_members();
    member.set_member(name);
    member.set_address(address);
    member.set_learner(member_->options().learners.contains(name));
    const auto entry = roster_.entries.find(name);
    if (entry == roster_.entries.end()) continue;
    member.set_joining(entry->second.seat == Seat::kJoining);
    member.set_id(entry->second.id);
  }
  description.set_outside(member_->IsOutside());
}

void MemberDriver::ChangeRoster(const RosterChange& change, Answered answer) {
  Put([this, change, answer = std::move(answer)]() mutable {
    const absl::Status begun = member_->ChangeRoster(change, Now());
    if (begun.ok()) log::Info("an operator wants the group to {}", change.ToString());
    answer(begun);
  });
}

void MemberDriver::Do(const action::DropSlave& drop) { sender_->Refuse(drop.stream, drop.why); }

}  // namespace dunlin::replicator
