#include "services/replicator/roles/epoch_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"

namespace dunlin::replicator {

EpochHistory::EpochHistory(std::vector<Entry> entries) {
  for (const Entry& entry : entries) Begin(entry.epoch, entry.start);
}

absl::StatusOr<EpochHistory> EpochHistory::Make(std::vector<Entry> entries, LogOffset end) {
  Entry last;
  for (const Entry& entry : entries) {
    if (entry.epoch <= last.epoch || entry.start < last.start || entry.start > end) {
      return absl::InvalidArgumentError(
          fmt::format("epoch {} begins at {}, behind epoch {} at {} in a log that ends at {}",
                      entry.epoch.value(), entry.start.value(), last.epoch.value(),
                      last.start.value(), end.value()));
    }
    last = entry;
  }
  EpochHistory history;
  history.entries_ = std::move(entries);
  return history;
}

std::optional<LogOffset> EpochHistory::StartOf(Epoch epoch) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [epoch](const Entry& entry) { return entry.epoch == epoch; });
  if (found == entries_.end()) return std::nullopt;
  return found->start;
}

EpochHistory::CommonPoint EpochHistory::PointAt(LogOffset offset) const {
  CommonPoint point{Epoch(0), offset};
  for (const Entry& entry : entries_) {
    if (entry.start <= offset) point.epoch = entry.epoch;
  }
  return point;
}

void EpochHistory::Begin(Epoch epoch, LogOffset start) {
  CHECK(entries_.empty() || (epoch > entries_.back().epoch && start >= entries_.back().start));
  entries_.push_back({epoch, start});
}

void EpochHistory::TruncateTo(CommonPoint point) {
  while (!entries_.empty() && entries_.back().epoch > point.epoch) entries_.pop_back();
  CutAt(point.offset);
}

void EpochHistory::CutAt(LogOffset end) {
  while (!entries_.empty() && entries_.back().start > end) entries_.pop_back();
}

LogOffset EpochHistory::EndOf(size_t entry, LogOffset log_end) const {
  return entry + 1 < entries_.size() ? entries_[entry + 1].start : log_end;
}

std::optional<EpochHistory::CommonPoint> EpochHistory::LastCommon(const EpochHistory& a,
                                                                  LogOffset a_end,
                                                                  const EpochHistory& b,
                                                                  LogOffset b_end) {
  for (size_t i = a.entries_.size(); i-- > 0;) {
    const Entry& entry = a.entries_[i];
    const auto found = std::find(b.entries_.begin(), b.entries_.end(), entry);
    if (found == b.entries_.end()) continue;
    const size_t j = static_cast<size_t>(found - b.entries_.begin());
    return CommonPoint{entry.epoch, std::min(a.EndOf(i, a_end), b.EndOf(j, b_end))};
  }
  return std::nullopt;
}

std::string EpochHistory::ToString() const {
  std::string text;
  for (const Entry& entry : entries_) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{}@{}", entry.epoch.value(), entry.start.value());
  }
  return text;
}

}  // namespace dunlin::replicator
