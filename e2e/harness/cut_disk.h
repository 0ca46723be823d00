// CutDisk: a file system of its own whose power can be cut.
//
// An ext4 file system in an image file, mounted through a loop device. Cut() is the shutdown ioctl
// without flushing the journal: nothing that was not synced gets to the image any more, and every
// write from then on fails. Only this process and its children see the mount. Needs root and loop
// devices. One thread; unmounts when it goes.

#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e {

class CutDisk {
 public:
  // Makes `directory`/disk.img of at most `bytes` and mounts it. FAILED_PRECONDITION, with the
  // mend, where this machine cannot.
  static absl::StatusOr<std::unique_ptr<CutDisk>> Make(const std::string& directory,
                                                       uint64_t bytes);
  ~CutDisk();
  CutDisk(const CutDisk&) = delete;
  CutDisk& operator=(const CutDisk&) = delete;

  // Where it is mounted.
  const std::string& path() const { return mount_point_; }

  absl::Status Cut();
  // Power is back: unmounts, and mounts again, which replays the journal. REQUIRES: nobody has a
  // file open on it.
  absl::Status Restore();

 private:
  explicit CutDisk(const std::string& directory);
  absl::Status Mount();
  absl::Status Unmount();

  const std::string image_;
  const std::string mount_point_;
  const std::string tools_log_;
  bool mounted_ = false;
};

}  // namespace dunlin::e2e
