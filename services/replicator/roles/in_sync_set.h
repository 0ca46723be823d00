// InSyncSet: who belongs to the in-sync set of a master, who counts, and who should join or leave.
//
// While a change is on its way to the coordinator nobody knows which of the two sets is written
// there, so both count: whoever may be elected by either must have what is acknowledged.
// Used by the master of an epoch alone.

#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "services/replicator/coordinator/group_record.h"

namespace dunlin::replicator {

class InSyncSet {
 public:
  // `written`: the set in the record, of that version.
  InSyncSet(int64_t version, std::set<MemberName> written)
      : version_(version), written_(std::move(written)) {}

  int64_t version() const { return version_; }
  const std::set<MemberName>& written() const { return written_; }
  bool changing() const { return proposed_.has_value(); }
  // The change that is under way; REQUIRES: changing().
  const std::set<MemberName>& proposed() const { return *proposed_; }

  // Everyone whose acknowledgement is needed: the union while a change is under way.
  std::set<MemberName> Counted() const;
  // How many can be relied on: the smaller of the two.
  size_t SureSize() const;

  // A change is on its way from now on. REQUIRES: !changing().
  void Propose(std::set<MemberName> next) { proposed_ = std::move(next); }
  // The record as the coordinator has it. A version above the one that the change was based on
  // ends the doubt: the change happened, or can never happen. An equal one ends nothing.
  void Observe(int64_t version, const std::set<MemberName>& written);

 private:
  int64_t version_;
  std::set<MemberName> written_;
  std::optional<std::set<MemberName>> proposed_;
};

}  // namespace dunlin::replicator
