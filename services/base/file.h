// FileSystem, File: the only open, pwritev, fdatasync, mmap and rename of the repository.
//
// An interface, so that tests can put a file system underneath that forgets what was not synced, or
// fails at the n-th call (testing/forgetful_file.h). Errors carry the operation, the path and the
// reason; ENOSPC and EDQUOT are RESOURCE_EXHAUSTED, EIO is DATA_LOSS, ENOENT is NOT_FOUND, EEXIST
// is ALREADY_EXISTS, EACCES and EPERM are PERMISSION_DENIED, the rest UNKNOWN.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin {

// An open file. Calls on different ranges may run at a time from several threads.
// Told how many bytes of something long are done; returns when it may go on.
using Pace = absl::FunctionRef<void(uint64_t done_bytes)>;

class File {
 public:
  virtual ~File() = default;

  // Writes all of `pieces`, one after the other, from `offset` on; short writes are continued.
  virtual absl::Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) = 0;
  // Reads up to `size` bytes; fewer only at the end of the file.
  virtual absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) = 0;

  // Returns when everything written is on disk. After an error nothing may be assumed of what was
  // written since the last success, and trying again proves nothing: give the file up.
  virtual absl::Status DataSync() = 0;
  // Asks the kernel to start writing a range out, without waiting for it.
  virtual void StartWriteback(uint64_t offset, uint64_t length) = 0;

  virtual absl::StatusOr<uint64_t> Size() const = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  // Reserves disk space up to `size` and grows the file to it; what was not written reads as zero.
  virtual absl::Status Allocate(uint64_t size) = 0;

  // Fills the file with zeros up to `size`, a multiple of 4096; past the page cache where the file
  // system can, so that it costs neither copies nor memory. Not durable without DataSync. `pace` is
  // told every few hundred KiB how much is done, and may take its time.
  virtual absl::Status FillWithZeros(uint64_t size, Pace pace) = 0;

  // Maps the first `length` bytes, shared with writers. The map outlives the file object; undo it
  // with Unmap. A page that the disk fails to deliver raises SIGBUS.
  virtual absl::StatusOr<char*> Map(uint64_t length, bool writable) = 0;

  // Takes the exclusive lock of the file for as long as it is open; FAILED_PRECONDITION when
  // another process has it.
  virtual absl::Status Lock() = 0;
};

void Unmap(char* address, uint64_t length);

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read and write, made when it does not exist
  kCreateNew,  // read and write, must not exist
};

struct DiskSpace {
  uint64_t total_bytes = 0;  // used and free
  uint64_t free_bytes = 0;   // for this process
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // Replaces `to`. Durable after SyncDirectory of both directories.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // With all parents; fine when it exists.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Makes creations, renames and removals in `path` durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Names (not paths) of the entries, ascending.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  virtual absl::StatusOr<DiskSpace> GetDiskSpace(const std::string& path) = 0;
};

// The operating system's.
FileSystem& RealFiles();

// Replaces `path` with a file of these contents, durably and at once: a crash leaves the old file
// or the new one.
absl::Status WriteFileDurably(FileSystem& files, const std::string& path,
                              std::string_view contents);
// NOT_FOUND when there is none.
absl::StatusOr<std::string> ReadWholeFile(FileSystem& files, const std::string& path);

}  // namespace dunlin
