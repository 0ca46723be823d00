#include "services/replicator/roles/pledges.h"

#include <algorithm>

namespace dunlin::replicator {

void Pledges::Require(const std::set<MemberName>& others) {
  std::erase_if(until_, [&](const auto& pledge) { return !others.contains(pledge.first); });
  for (const MemberName& name : others) until_.try_emplace(name);
}

// An answer that is overtaken never shortens a pledge: the later one held as well.
void Pledges::OnAnswer(const MemberName& peer, bool granted, Instant sent) {
  const auto found = until_.find(peer);
  if (found == until_.end()) return;
  if (!granted) {
    found->second = Instant();
    return;
  }
  found->second = std::max(found->second, sent + (kPledgeTime - kPledgeTime / 8));
}

Instant Pledges::until() const {
  Instant first = kNever;
  for (const auto& [name, until] : until_) first = std::min(first, until);
  return until_.empty() ? Instant() : first;
}

std::set<MemberName> Pledges::names() const {
  std::set<MemberName> names;
  for (const auto& [name, until] : until_) names.insert(name);
  return names;
}

std::set<MemberName> Pledges::MissingAt(Instant now) const {
  std::set<MemberName> missing;
  for (const auto& [name, until] : until_) {
    if (now >= until) missing.insert(name);
  }
  return missing;
}

// A master of a higher epoch is proof that those before it are over.
void Abstention::Pledge(const MemberName& master, Epoch epoch, Instant until) {
  pledged_until_ = std::max(pledged_until_, until);
  master_ = master;
  epoch_ = epoch;
}

}  // namespace dunlin::replicator
