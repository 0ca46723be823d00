#include "services/replicator/simulation/checker.h"

#include <fmt/format.h>

#include <algorithm>

namespace dunlin::replicator::simulation {

void Checker::OnRead(const MemberName& member, uint64_t index, const Record& record) {
  if (!durable_) return;
  if (index > read_.size()) {
    world_.Fail(fmt::format("{} shows record {} before {}", member, index, read_.size()));
  } else if (index == read_.size()) {
    read_.push_back(record);
  } else if (read_[index] != record) {
    world_.Fail(fmt::format("{} shows {} of epoch {} as record {}, where {} of epoch {} was shown",
                            member, record.id, record.epoch.value(), index, read_[index].id,
                            read_[index].epoch.value()));
  }
}

void Checker::OnAcknowledged(const MemberName& member, Epoch epoch, const Record& record) {
  acknowledged_.insert(record.id);
  const auto [place, added] = masters_.emplace(epoch, member);
  if (place->second != member) {
    world_.Fail(
        fmt::format("{} and {} acknowledge in epoch {}", place->second, member, epoch.value()));
  }
  if (std::next(place) != masters_.end()) {
    world_.Fail(fmt::format("{} acknowledges in epoch {} after {} did in epoch {}", member,
                            epoch.value(), masters_.rbegin()->second,
                            masters_.rbegin()->first.value()));
  }
}

void Checker::OnEnd(const std::vector<Record>& log) {
  if (!durable_) return;
  std::set<uint64_t> ids;
  for (const Record& record : log) {
    if (!ids.insert(record.id).second) {
      world_.Fail(fmt::format("record {} is in the log twice", record.id));
    }
  }
  for (const uint64_t id : acknowledged_) {
    if (!ids.contains(id)) world_.Fail(fmt::format("acknowledged record {} is lost", id));
  }
  const auto [seen, kept] = std::mismatch(read_.begin(), read_.end(), log.begin(), log.end());
  if (seen != read_.end()) {
    world_.Fail(fmt::format("record {} was shown to consumers and is not in the log any more",
                            seen - read_.begin()));
  }
}

}  // namespace dunlin::replicator::simulation
