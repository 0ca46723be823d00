#include "services/replicator/coordinator/roster.h"

namespace dunlin::replicator {

std::set<MemberName> Roster::Voters() const {
  std::set<MemberName> names;
  for (const auto& [name, entry] : entries) {
    if (entry.seat == Seat::kVoter) names.insert(name);
  }
  return names;
}

std::set<MemberName> Roster::Learners() const {
  std::set<MemberName> names;
  for (const auto& [name, entry] : entries) {
    if (entry.seat != Seat::kVoter) names.insert(name);
  }
  return names;
}

void Roster::Add(const MemberName& name, const std::string& address, Seat seat) {
  entries[name] = {.address = address, .seat = seat, .id = ++last_id};
}

}  // namespace dunlin::replicator
