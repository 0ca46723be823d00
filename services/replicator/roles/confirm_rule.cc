#include "services/replicator/roles/confirm_rule.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace dunlin::replicator {

std::optional<LogOffset> ConfirmRule::LowestOf(const std::set<MemberName>& counted,
                                               const Acknowledged& acknowledged) {
  std::optional<LogOffset> lowest;
  for (const MemberName& name : counted) {
    const auto found = acknowledged.find(name);
    if (found == acknowledged.end()) return std::nullopt;
    lowest = lowest.has_value() ? std::min(*lowest, found->second) : found->second;
  }
  return lowest;
}

std::optional<LogOffset> ConfirmRule::MajorityOf(const std::set<MemberName>& members,
                                                 const Acknowledged& acknowledged) {
  std::vector<LogOffset> offsets;
  for (const MemberName& name : members) {
    const auto found = acknowledged.find(name);
    if (found != acknowledged.end()) offsets.push_back(found->second);
  }
  const size_t needed = members.size() / 2 + 1;
  if (offsets.size() < needed) return std::nullopt;
  std::sort(offsets.begin(), offsets.end(), std::greater<>());
  return offsets[needed - 1];
}

std::optional<LogOffset> ConfirmRule::Confirm(const std::set<MemberName>& counted,
                                              const Acknowledged& acknowledged,
                                              LogOffset own_end) const {
  std::optional<LogOffset> offset;
  switch (mode_) {
    case Mode::kAsync:
      offset = own_end;
      break;
    case Mode::kSync:
      offset = LowestOf(counted, acknowledged);
      break;
    case Mode::kQuorum:
      offset = MajorityOf(counted, acknowledged);
      break;
  }
  if (!offset.has_value() || *offset < start_) return std::nullopt;
  return offset;
}

}  // namespace dunlin::replicator
