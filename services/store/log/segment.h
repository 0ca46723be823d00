// Segment: one file of the commit log, written by pwritev and read through a map.
//
// Fixed size; covers [begin, end) of the log. Readers pin it by shared_ptr: the map lives until the
// last of them is done, even when the file has been removed. A page of the map that the disk fails
// to deliver (I/O error, file cut short) reads as zeros instead of killing the process, so that the
// CRC of the record says what is wrong.

#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

// 20 digits, so that names sort as offsets do.
std::string SegmentName(LogOffset begin);
// False for anything else than a segment's name.
bool ParseSegmentName(std::string_view name, LogOffset& begin);

class Segment {
 public:
  // Opens the file of a segment; its size is that of the file. DATA_LOSS when the file is empty.
  static absl::StatusOr<std::shared_ptr<Segment>> Open(FileSystem& files, const std::string& path,
                                                       LogOffset begin);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  LogOffset begin() const { return begin_; }
  LogOffset end() const { return begin_ + size_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Bytes from `offset` to the end. REQUIRES: begin() <= offset <= end().
  std::string_view From(LogOffset offset) const {
    const uint64_t position = offset - begin_;
    return {map_ + position, size_ - position};
  }

  // Asks the kernel to have these bytes in memory soon; what is beyond the end is left out.
  void Prefetch(LogOffset from, uint64_t length) const;

  absl::Status Write(LogOffset offset, std::span<const std::string_view> pieces) {
    return file_->WriteAt(offset - begin_, pieces);
  }
  absl::Status Sync() { return file_->DataSync(); }
  void StartWriteback(LogOffset from, uint64_t length) {
    file_->StartWriteback(from - begin_, length);
  }

 private:
  Segment(std::string path, LogOffset begin, uint64_t size, std::unique_ptr<File> file, char* map);

  const std::string path_;
  const LogOffset begin_;
  const uint64_t size_;
  const std::unique_ptr<File> file_;
  char* const map_;
};

}  // namespace dunlin::store
