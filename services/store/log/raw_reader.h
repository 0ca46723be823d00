// RawReader: the bytes of a log that another process may be writing, for shipping them as they are.
//
// Works on the store directory alone: control page, epochs file, segments. Changes nothing there
// and takes no lock. Segments that appear and go are found as need be; a piece keeps its bytes
// mapped, so that they can be sent without a copy, even when retention removes the segment.
//
// What is read is what the writer has appended. The length, place and epoch of every record are
// checked, its CRC is not: LogMirror checks that where the bytes are written again.
//
// One thread at a time; many readers of one log are fine.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/store/log/control_page.h"
#include "services/store/log/epochs.h"
#include "services/store/log/segment_set.h"

namespace dunlin::store {

class RawReader {
 public:
  // NOT_FOUND when there is no log in `directory` (that of CommitLogOptions). `files` must outlive
  // the reader.
  static absl::StatusOr<std::unique_ptr<RawReader>> Open(FileSystem& files,
                                                         const std::string& directory);

  // A run of whole records, of one segment and of one epoch.
  struct Piece {
    LogOffset begin;
    // Where the next piece begins. When the records end the segment that is `segment_end`, else
    // begin + bytes.size(): what stands between the last record of a segment (a padding record, or
    // one that leaves no room for a header) and the end of the segment is no part of the log.
    LogOffset end;
    LogOffset segment_end;
    Epoch epoch;
    std::string_view bytes;
    std::shared_ptr<const void> pin;  // keeps `bytes` mapped
  };

  // Records from `from` on that end at or below `limit`, of `max_bytes` together, but at least one
  // however large. REQUIRES: a record begins at `from`, or `from` is the end of the log. Errors:
  //   OUT_OF_RANGE  nothing there yet (ControlPage's bell for_replicator tells when to look again);
  //   NOT_FOUND     expired: `from` is below start();
  //   DATA_LOSS     what stands there is no record: the disk of this machine has damaged it, or
  //                 `from` is no place where a record begins.
  absl::StatusOr<Piece> Read(LogOffset from, LogOffset limit, size_t max_bytes);

  // First offset still held, and what the writer has appended; from the page, at any time.
  LogOffset start() const { return page_->log_start(); }
  LogOffset end() const { return page_->appended(); }
  // As the file is now, or DATA_LOSS. Read() looks again by itself when the page tells of another
  // epoch.
  absl::StatusOr<Epochs> ReadEpochs() const;

 private:
  RawReader(FileSystem& files, std::string directory, std::unique_ptr<ControlPage> page,
            std::unique_ptr<SegmentSet> segments);

  absl::StatusOr<std::shared_ptr<Segment>> FindSegment(LogOffset offset);
  absl::Status RefreshEpochs();

  FileSystem& files_;
  const std::string directory_;
  const std::unique_ptr<ControlPage> page_;
  const std::unique_ptr<SegmentSet> segments_;
  std::shared_ptr<Segment> segment_;  // the one read last
  Epochs epochs_;
  Epoch epochs_as_of_;  // what the page said when they were read
};

}  // namespace dunlin::store
