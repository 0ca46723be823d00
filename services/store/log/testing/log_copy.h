// What tests of replication share: random logs, their copies, and what they hold.

#pragma once

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/epochs.h"
#include "services/store/log/log_mirror.h"
#include "services/store/log/raw_reader.h"

namespace dunlin::store {

// A lone broker's log in `directory`, with segments of 64 KiB; a new epoch each time.
std::unique_ptr<CommitLog> OpenTestLog(const std::string& directory, const Clock& clock);

// Appends `count` records of up to `max_payload` bytes and waits for them.
void AppendRandom(CommitLog& log, std::mt19937& random, int count, size_t max_payload = 6000);

// What follows the end of `mirror` in the log of `reader`, up to `max_bytes` of it. OUT_OF_RANGE
// when there is nothing.
absl::Status CopyPiece(RawReader& reader, LogMirror& mirror, size_t max_bytes);
// All of it, in pieces of random sizes.
absl::Status CopyRest(RawReader& reader, LogMirror& mirror, std::mt19937& random);

// The newest point that two logs have in common, by what their epochs say and where they end; the
// beginning when there is none.
Epochs::Point CommonPoint(const Epochs& one, LogOffset one_end, const Epochs& other,
                          LogOffset other_end);
// The log of these epochs up to `end`, with nothing that begins there.
Epochs::Point PointAt(const Epochs& epochs, LogOffset end);

// All bytes of the log in `directory` up to `limit`, one string for each segment and epoch, which
// begins with their names.
std::vector<std::string> ReadWhole(const std::string& directory,
                                   LogOffset limit = LogOffset(UINT64_MAX));

// Empty when equal; else what differs first, in few words.
std::string Difference(const std::vector<std::string>& is, const std::vector<std::string>& should);

}  // namespace dunlin::store
