#include "services/replicator/roles/in_sync_set.h"

#include <algorithm>

namespace dunlin::replicator {

std::set<MemberName> InSyncSet::Counted() const {
  std::set<MemberName> all = written_;
  if (proposed_.has_value()) all.insert(proposed_->begin(), proposed_->end());
  return all;
}

size_t InSyncSet::SureSize() const {
  return proposed_.has_value() ? std::min(written_.size(), proposed_->size()) : written_.size();
}

void InSyncSet::Observe(int64_t version, const std::set<MemberName>& written) {
  if (version <= version_) return;
  version_ = version;
  written_ = written;
  proposed_.reset();
}

}  // namespace dunlin::replicator
