// Recovery: where the log ends, and what of it is damaged; run once, when the log is opened.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/store/log/epochs.h"
#include "services/store/log/record_codec.h"
#include "services/store/log/record_view.h"
#include "services/store/log/segment_set.h"

namespace dunlin::store {

// Walks over the records of a log: steps over padding, ends of segments and damage. Pure but for
// the maps it reads. Thread-safe as long as `epochs` does not change.
class RecordWalk {
 public:
  RecordWalk(const SegmentSet& segments, const Epochs& epochs)
      : segments_(segments), epochs_(epochs) {}

  // The record at exactly `offset`. OUT_OF_RANGE when no segment holds it or too little of the
  // segment is left for one; DATA_LOSS when what is there is no record.
  absl::StatusOr<RecordView> At(LogOffset offset) const;

  // The same within a segment that is at hand. REQUIRES: it holds `offset`.
  absl::StatusOr<RecordView> At(LogOffset offset, const std::shared_ptr<Segment>& segment) const;

  // The first record at or behind `offset` and below `limit`, by trying every eighth byte.
  std::optional<RecordView> Search(LogOffset offset, LogOffset limit) const;

  // Where the record behind one that would begin at `offset` can begin at the earliest: `offset`
  // itself, or the next segment when too little is left of this one.
  LogOffset SkipRest(LogOffset offset) const;

 private:
  const SegmentSet& segments_;
  const Epochs& epochs_;
};

struct Recovered {
  LogOffset end;
  std::vector<DamagedRange> damage;
  Epoch last_epoch;     // highest epoch seen in a record
  Timestamp last_time;  // store time of the last record, 1970 when there is none
  uint64_t records = 0;
};

// What RecordHeader::unflushed says of the files at hand.
enum class Unflushed {
  kProves,         // this log was written here
  kProvesNothing,  // it is a copy: what had been flushed where the record was made is unknown here
};

// `from`: a place where a record begins, or the start of the log; everything below it is taken as
// sound. `flushed`: everything below it is known to have been on disk, so that what is invalid
// there is damage and not a torn tail.
Recovered Recover(const SegmentSet& segments, const RecordWalk& walk, LogOffset from,
                  LogOffset flushed, Unflushed unflushed = Unflushed::kProves);

}  // namespace dunlin::store
