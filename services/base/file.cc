#include "services/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "services/base/check.h"
#include "services/base/status_macros.h"

namespace dunlin {
namespace {

// Aligned as writes past the page cache must be.
alignas(4096) constexpr std::array<char, 256u << 10> kZeros{};

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case EIO:
      return absl::StatusCode::kDataLoss;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnknown;
  }
}

absl::Status Failed(const char* operation, const std::string& path, int error) {
  return absl::Status(CodeOf(error),
                      fmt::format("{} {}: {}", operation, path, std::strerror(error)));
}

// The kernel takes at most IOV_MAX pieces a call.
constexpr size_t kMaxPieces = 512;
static_assert(kMaxPieces <= IOV_MAX);

class RealFile final : public File {
 public:
  RealFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~RealFile() override { close(fd_); }
  RealFile(const RealFile&) = delete;
  RealFile& operator=(const RealFile&) = delete;

  absl::Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) override {
    std::array<iovec, kMaxPieces> vectors;
    size_t skip = 0;  // bytes of the first piece that are written already
    while (!pieces.empty()) {
      const size_t count = std::min(pieces.size(), kMaxPieces);
      for (size_t i = 0; i < count; ++i) {
        const size_t cut = i == 0 ? skip : 0;
        vectors[i].iov_base = const_cast<char*>(pieces[i].data()) + cut;
        vectors[i].iov_len = pieces[i].size() - cut;
      }
      const ssize_t written =
          pwritev(fd_, vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
      if (written < 0) {
        if (errno == EINTR) continue;
        return Failed("write", path_, errno);
      }
      offset += static_cast<uint64_t>(written);
      skip += static_cast<size_t>(written);
      while (!pieces.empty() && skip >= pieces.front().size()) {
        skip -= pieces.front().size();
        pieces = pieces.subspan(1);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    std::string bytes(size, '\0');
    size_t have = 0;
    while (have < size) {
      const ssize_t got =
          pread(fd_, bytes.data() + have, size - have, static_cast<off_t>(offset + have));
      if (got < 0) {
        if (errno == EINTR) continue;
        return Failed("read", path_, errno);
      }
      if (got == 0) break;
      have += static_cast<size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

  absl::Status DataSync() override {
    // Not repeated on EINTR or anything else: see the header.
    if (fdatasync(fd_) != 0) return Failed("fdatasync", path_, errno);
    return absl::OkStatus();
  }

  void StartWriteback(uint64_t offset, uint64_t length) override {
    // A hint: an error shows up at the next DataSync.
    (void)sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(length),
                          SYNC_FILE_RANGE_WRITE);
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat info {};
    if (fstat(fd_, &info) != 0) return Failed("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  absl::Status Truncate(uint64_t size) override {
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) return Failed("truncate", path_, errno);
    return absl::OkStatus();
  }

  absl::Status Allocate(uint64_t size) override {
    const int error = posix_fallocate(fd_, 0, static_cast<off_t>(size));
    if (error != 0) return Failed("allocate", path_, error);
    return absl::OkStatus();
  }

  absl::Status FillWithZeros(uint64_t size, Pace pace) override {
    const int direct =
        open(fmt::format("/proc/self/fd/{}", fd_).c_str(), O_WRONLY | O_CLOEXEC | O_DIRECT);
    const int fd = direct >= 0 ? direct : fd_;
    absl::Status status;
    for (uint64_t at = 0; at < size && status.ok();) {
      const uint64_t length = std::min<uint64_t>(kZeros.size(), size - at);
      const ssize_t written = pwrite(fd, kZeros.data(), length, static_cast<off_t>(at));
      if (written > 0) {
        at += static_cast<uint64_t>(written);
        if (fd == fd_) StartWriteback(at - static_cast<uint64_t>(written), length);
        pace(at);
      } else if (written == 0 || errno != EINTR) {
        status = Failed("fill", path_, written == 0 ? EIO : errno);
      }
    }
    if (direct >= 0) close(direct);
    return status;
  }

  absl::StatusOr<char*> Map(uint64_t length, bool writable) override {
    void* address =
        mmap(nullptr, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd_, 0);
    if (address == MAP_FAILED) return Failed("map", path_, errno);
    return static_cast<char*>(address);
  }

  absl::Status Lock() override {
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    if (errno != EWOULDBLOCK) return Failed("lock", path_, errno);
    return absl::FailedPreconditionError(fmt::format("{} is locked by another process", path_));
  }

 private:
  const std::string path_;
  const int fd_;
};

class RealFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT;
        break;
      case OpenMode::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    const int fd = open(path.c_str(), flags, 0640);
    if (fd < 0) return Failed("open", path, errno);
    return std::make_unique<RealFile>(path, fd);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) return Failed("rename", from, errno);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return Failed("remove", path, errno);
    return absl::OkStatus();
  }

  absl::Status CreateDirectories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return Failed("make directory", path, error.value());
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return Failed("open", path, errno);
    const int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (error != 0) return Failed("sync directory", path, error);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) return Failed("list", path, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(directory)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    closedir(directory);
    if (error != 0) return Failed("list", path, error);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<DiskSpace> GetDiskSpace(const std::string& path) override {
    struct statvfs info {};
    if (statvfs(path.c_str(), &info) != 0) return Failed("look at the disk of", path, errno);
    // As df: what is kept for root or by a quota counts as neither used nor free.
    const uint64_t used = info.f_blocks - std::min(info.f_bfree, info.f_blocks);
    return DiskSpace{(used + info.f_bavail) * info.f_frsize, info.f_bavail * info.f_frsize};
  }
};

}  // namespace

void Unmap(char* address, uint64_t length) {
  CHECK(munmap(address, length) == 0, std::strerror(errno));
}

FileSystem& RealFiles() {
  static RealFileSystem& files = *new RealFileSystem;  // never destroyed: threads may still use it
  return files;
}

absl::Status WriteFileDurably(FileSystem& files, const std::string& path,
                              std::string_view contents) {
  const std::string temporary = path + ".new";
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(temporary, OpenMode::kCreate));
    RETURN_IF_ERROR(file->Truncate(0));
    RETURN_IF_ERROR(file->WriteAt(0, {&contents, 1}));
    RETURN_IF_ERROR(file->DataSync());
  }
  RETURN_IF_ERROR(files.Rename(temporary, path));
  return files.SyncDirectory(std::filesystem::path(path).parent_path());
}

absl::StatusOr<std::string> ReadWholeFile(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  return file->ReadAt(0, size);
}

}  // namespace dunlin
