#include "services/replicator/driver/stored_history.h"

#include <utility>
#include <vector>

namespace dunlin::replicator {

EpochHistory HistoryOf(const store::Epochs& epochs) {
  std::vector<EpochHistory::Entry> entries;
  for (const store::Epochs::Entry& entry : epochs.entries()) {
    entries.push_back({entry.epoch, entry.start});
  }
  return EpochHistory(std::move(entries));
}

}  // namespace dunlin::replicator
