// HistoryOf: the epochs file of a store, as the rules of the group read it.

#pragma once

#include "services/replicator/roles/epoch_history.h"
#include "services/store/log/epochs.h"

namespace dunlin::replicator {

EpochHistory HistoryOf(const store::Epochs& epochs);

}  // namespace dunlin::replicator
