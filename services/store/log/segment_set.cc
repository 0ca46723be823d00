#include "services/store/log/segment_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr std::string_view kSpareName = "spare";

}  // namespace

// Removes a file at the end of its life, unless it is kept by then.
class SegmentSet::Unfinished {
 public:
  Unfinished(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~Unfinished() {
    if (path_.empty()) return;
    const absl::Status removed = files_.Remove(path_);
    if (!removed.ok() && !absl::IsNotFound(removed)) {
      log::Warning("an unfinished file stays until the next start: {}", removed.ToString());
    }
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  const std::string& Path() const { return path_; }
  absl::Status RenameTo(const std::string& path) {
    RETURN_IF_ERROR(files_.Rename(path_, path));
    path_ = path;
    return absl::OkStatus();
  }
  void Keep() { path_.clear(); }

 private:
  FileSystem& files_;
  std::string path_;
};

SegmentSet::SegmentSet(FileSystem& files, std::string directory, uint64_t segment_size,
                       Expired expired)
    : files_(files),
      directory_(std::move(directory)),
      segment_size_(segment_size),
      expired_(expired) {}

std::string SegmentSet::PathOf(LogOffset begin) const {
  return fmt::format("{}/{}", directory_, SegmentName(begin));
}

absl::StatusOr<std::unique_ptr<SegmentSet>> SegmentSet::Open(FileSystem& files,
                                                             std::string directory,
                                                             uint64_t segment_size,
                                                             Expired expired) {
  RETURN_IF_ERROR(files.CreateDirectories(directory));
  auto set = std::unique_ptr<SegmentSet>(
      new SegmentSet(files, std::move(directory), segment_size, expired));
  RETURN_IF_ERROR(set->Load(/*remove_leftovers=*/true));
  return set;
}

absl::StatusOr<std::unique_ptr<SegmentSet>> SegmentSet::OpenForReading(FileSystem& files,
                                                                       std::string directory) {
  auto set = std::unique_ptr<SegmentSet>(
      new SegmentSet(files, std::move(directory), 0, Expired::kIsRemoved));
  RETURN_IF_ERROR(set->Load(/*remove_leftovers=*/false));
  return set;
}

absl::StatusOr<std::unique_ptr<SegmentSet>> SegmentSet::OpenEmptyForReading(FileSystem& files,
                                                                            std::string directory) {
  RETURN_IF_ERROR(files.List(directory).status());
  return std::unique_ptr<SegmentSet>(
      new SegmentSet(files, std::move(directory), 0, Expired::kIsRemoved));
}

absl::Status SegmentSet::Load(bool remove_leftovers) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(directory_));
  MutexLock lock(mutex_);
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", directory_, name);
    LogOffset begin;
    if (!ParseSegmentName(name, begin)) {
      if (!remove_leftovers) continue;
      log::Info("removing {}, left by an earlier run", path);
      RETURN_IF_ERROR(files_.Remove(path));
      continue;
    }
    ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment, Segment::Open(files_, path, begin));
    if (!segments_.empty() && segments_.rbegin()->second->end() > begin) {
      return absl::DataLossError(fmt::format(
          "segment {} begins before its predecessor ends at {}: a file was renamed or has the "
          "wrong size. Put the original files back",
          path, segments_.rbegin()->second->end().value()));
    }
    segments_.emplace(begin, std::move(segment));
  }
  return absl::OkStatus();
}

std::shared_ptr<Segment> SegmentSet::Find(LogOffset offset) const {
  MutexLock lock(mutex_);
  auto after = segments_.upper_bound(offset);
  if (after == segments_.begin()) return nullptr;
  const std::shared_ptr<Segment>& segment = std::prev(after)->second;
  return offset < segment->end() ? segment : nullptr;
}

std::shared_ptr<Segment> SegmentSet::FindFrom(LogOffset offset) const {
  MutexLock lock(mutex_);
  auto after = segments_.upper_bound(offset);
  if (after != segments_.begin() && offset < std::prev(after)->second->end()) {
    return std::prev(after)->second;
  }
  return after == segments_.end() ? nullptr : after->second;
}

std::vector<std::shared_ptr<Segment>> SegmentSet::List() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Segment>> list;
  for (const auto& [begin, segment] : segments_) list.push_back(segment);
  return list;
}

std::shared_ptr<Segment> SegmentSet::FindAt(LogOffset begin) const {
  MutexLock lock(mutex_);
  auto found = segments_.find(begin);
  return found == segments_.end() ? nullptr : found->second;
}

std::string SegmentSet::TemporaryPath() {
  MutexLock change(change_mutex_);
  return fmt::format("{}/making-{}", directory_, made_++);
}

absl::StatusOr<std::shared_ptr<Segment>> SegmentSet::Adopt(Unfinished& file, LogOffset begin) {
  if (std::shared_ptr<Segment> found = FindAt(begin); found != nullptr) return found;
  RETURN_IF_ERROR(file.RenameTo(PathOf(begin)));
  RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment, Segment::Open(files_, PathOf(begin), begin));
  file.Keep();
  MutexLock lock(mutex_);
  return segments_.emplace(begin, std::move(segment)).first->second;
}

absl::StatusOr<std::shared_ptr<Segment>> SegmentSet::FindOrMake(LogOffset begin, uint64_t size) {
  if (std::shared_ptr<Segment> found = FindAt(begin); found != nullptr) return found;
  Unfinished temporary(files_, TemporaryPath());
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     files_.Open(temporary.Path(), OpenMode::kCreateNew));
    RETURN_IF_ERROR(file->Allocate(size));
    RETURN_IF_ERROR(file->DataSync());
  }
  MutexLock change(change_mutex_);
  return Adopt(temporary, begin);
}

absl::Status SegmentSet::FillWithZeros(const std::string& path, uint64_t size, Pace pace) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files_.Open(path, OpenMode::kCreateNew));
  RETURN_IF_ERROR(file->Allocate(size));
  RETURN_IF_ERROR(file->FillWithZeros(size, pace));
  return file->DataSync();
}

absl::Status SegmentSet::Prepare(LogOffset begin, uint64_t size, Pace pace) {
  if (FindAt(begin) != nullptr) return absl::OkStatus();
  Unfinished temporary(files_, TemporaryPath());
  bool reused = false;
  {
    MutexLock change(change_mutex_);
    if (spare_.has_value() && size == segment_size_) {
      RETURN_IF_ERROR(files_.Rename(*spare_, temporary.Path()));
      spare_.reset();
      reused = true;
    }
  }
  // Long: not under a lock.
  if (!reused) RETURN_IF_ERROR(FillWithZeros(temporary.Path(), size, pace));
  MutexLock change(change_mutex_);
  if (begin + size <= dropped_) return absl::OkStatus();
  return Adopt(temporary, begin).status();
}

absl::Status SegmentSet::DropBefore(LogOffset offset) {
  MutexLock change(change_mutex_);
  dropped_ = std::max(dropped_, offset);
  for (;;) {
    std::shared_ptr<Segment> segment;
    {
      MutexLock lock(mutex_);
      if (segments_.empty() || segments_.begin()->second->end() > offset) break;
      segment = std::move(segments_.begin()->second);
      segments_.erase(segments_.begin());
    }
    const bool reusable = expired_ == Expired::kIsReused && segment.use_count() == 1 &&
                          !spare_.has_value() && segment->size() == segment_size_;
    if (reusable) {
      std::string spare = fmt::format("{}/{}", directory_, kSpareName);
      RETURN_IF_ERROR(files_.Rename(segment->path(), spare));
      spare_ = std::move(spare);
    } else {
      RETURN_IF_ERROR(files_.Remove(segment->path()));
    }
  }
  return files_.SyncDirectory(directory_);
}

absl::Status SegmentSet::RemoveFrom(LogOffset offset) {
  MutexLock change(change_mutex_);
  dropped_ = std::min(dropped_, offset);
  for (;;) {
    std::shared_ptr<Segment> segment;
    {
      MutexLock lock(mutex_);
      if (segments_.empty() || segments_.rbegin()->first < offset) break;
      segment = std::move(segments_.rbegin()->second);
      segments_.erase(std::prev(segments_.end()));
    }
    RETURN_IF_ERROR(files_.Remove(segment->path()));
  }
  return files_.SyncDirectory(directory_);
}

absl::Status SegmentSet::Refresh(LogOffset start, LogOffset limit) {
  MutexLock change(change_mutex_);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(directory_));
  std::vector<LogOffset> begins;
  for (const std::string& name : names) {
    if (LogOffset begin; ParseSegmentName(name, begin) && begin < limit) begins.push_back(begin);
  }
  for (size_t i = 0; i < begins.size(); ++i) {
    // It ends where the next one begins, or before.
    if (i + 1 < begins.size() && begins[i + 1] <= start) continue;
    if (FindAt(begins[i]) != nullptr) continue;
    absl::StatusOr<std::shared_ptr<Segment>> segment =
        Segment::Open(files_, PathOf(begins[i]), begins[i]);
    if (absl::IsNotFound(segment.status())) continue;  // gone since it was listed
    RETURN_IF_ERROR(segment.status());
    if ((*segment)->end() <= start) continue;
    MutexLock lock(mutex_);
    segments_.emplace(begins[i], *std::move(segment));
  }
  std::vector<std::shared_ptr<Segment>> gone;  // unmapped without the lock
  MutexLock lock(mutex_);
  while (!segments_.empty() && segments_.begin()->second->end() <= start) {
    gone.push_back(std::move(segments_.begin()->second));
    segments_.erase(segments_.begin());
  }
  return absl::OkStatus();
}

}  // namespace dunlin::store
