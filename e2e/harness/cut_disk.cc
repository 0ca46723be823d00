#include "e2e/harness/cut_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "e2e/harness/program.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {

namespace {

// FS_IOC_SHUTDOWN and its flag "the journal is not flushed"; <linux/fs.h> has them since 6.x only.
constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kNoLogFlush = 2;

}  // namespace

CutDisk::CutDisk(const std::string& directory)
    : image_(directory + "/disk.img"),
      mount_point_(directory + "/disk"),
      tools_log_(directory + "/disk-tools.log") {}

CutDisk::~CutDisk() {
  if (mounted_) (void)umount2(mount_point_.c_str(), MNT_DETACH);
}

absl::StatusOr<std::unique_ptr<CutDisk>> CutDisk::Make(const std::string& directory,
                                                       uint64_t bytes) {
  if (geteuid() != 0) {
    return absl::FailedPreconditionError("mounting needs root: run this as root");
  }
  // A mount namespace of our own: another process that happened to copy the mount (a sandbox just
  // starting) would keep the dead file system alive, and the next mount would be that one again.
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return absl::FailedPreconditionError(fmt::format(
        "no mount namespace of its own ({}): run this outside of any sandbox", strerror(errno)));
  }
  std::unique_ptr<CutDisk> disk(new CutDisk(directory));
  std::filesystem::create_directories(disk->mount_point_);
  std::ofstream(disk->image_).close();
  std::error_code error;
  std::filesystem::resize_file(disk->image_, bytes, error);
  if (error) return absl::UnavailableError(disk->image_ + ": " + error.message());
  RETURN_IF_ERROR(RunTool({"/usr/sbin/mkfs.ext4", "-q", "-F", disk->image_}, disk->tools_log_));
  const absl::Status mounted = disk->Mount();
  if (!mounted.ok()) {
    return absl::FailedPreconditionError(fmt::format(
        "cannot mount a loop device; it needs the kernel's loop module, /dev/loop-control "
        "and a process outside of any sandbox: {}",
        std::string(mounted.message())));
  }
  return disk;
}

absl::Status CutDisk::Mount() {
  RETURN_IF_ERROR(RunTool({"mount", "-o", "loop", image_, mount_point_}, tools_log_));
  mounted_ = true;
  return absl::OkStatus();
}

absl::Status CutDisk::Unmount() {
  RETURN_IF_ERROR(RunTool({"umount", mount_point_}, tools_log_));
  mounted_ = false;
  return absl::OkStatus();
}

absl::Status CutDisk::Cut() {
  const int fd = open(mount_point_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::UnavailableError(fmt::format("{}: {}", mount_point_, strerror(errno)));
  uint32_t flags = kNoLogFlush;
  const int result = ioctl(fd, kShutdown, &flags);
  const int error = errno;
  close(fd);
  if (result != 0) return absl::UnavailableError(fmt::format("shutdown: {}", strerror(error)));
  return absl::OkStatus();
}

absl::Status CutDisk::Restore() {
  RETURN_IF_ERROR(Unmount());
  return Mount();
}

}  // namespace dunlin::e2e
