#include "services/base/testing/forgetful_file.h"

#include <algorithm>
#include <random>
#include <string_view>
#include <utility>

#include "services/base/check.h"
#include "services/base/status_macros.h"

namespace dunlin {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr size_t kSectorSize = 512;  // what a disk writes whole

}  // namespace

class ForgetfulFiles::ForgetfulFile final : public File {
 public:
  ForgetfulFile(ForgetfulFiles& files, std::unique_ptr<File> file,
                std::shared_ptr<Unsynced> unsynced, int generation)
      : files_(files),
        file_(std::move(file)),
        unsynced_(std::move(unsynced)),
        generation_(generation) {}

  absl::Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) override {
    MutexLock lock(files_.mutex_);
    RETURN_IF_ERROR(CheckPower());
    uint64_t size = 0;
    for (std::string_view piece : pieces) size += piece.size();
    const uint64_t first = offset / kPageSize * kPageSize;
    for (uint64_t page = first; page < offset + size; page += kPageSize) {
      if (unsynced_->pages.contains(page)) continue;
      // Written again, a lost page has another chance; what the disk holds is as old as before.
      if (auto lost = unsynced_->lost.extract(page); !lost.empty()) {
        unsynced_->pages.insert(std::move(lost));
        continue;
      }
      ASSIGN_OR_RETURN(unsynced_->pages[page], file_->ReadAt(page, kPageSize));
    }
    if (const absl::Status failure = files_.TakeFailure(Operation::kWrite); !failure.ok()) {
      if (!pieces.empty()) {
        const std::string_view half = pieces[0].substr(0, pieces[0].size() / 2);
        RETURN_IF_ERROR(file_->WriteAt(offset, {&half, 1}));
      }
      return failure;
    }
    return file_->WriteAt(offset, pieces);
  }

  absl::Status DataSync() override {
    MutexLock lock(files_.mutex_);
    files_.PassSyncTime();
    RETURN_IF_ERROR(CheckPower());
    if (absl::Status failure = files_.TakeFailure(Operation::kDataSync); !failure.ok()) {
      unsynced_->lost.merge(unsynced_->pages);
      unsynced_->pages.clear();
      return failure;
    }
    // Not passed on: what the test machine's disk holds is not what is tested.
    unsynced_->pages.clear();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    return file_->ReadAt(offset, size);
  }
  void StartWriteback(uint64_t /*offset*/, uint64_t /*length*/) override {}
  absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }
  absl::Status Truncate(uint64_t size) override {
    MutexLock lock(files_.mutex_);
    RETURN_IF_ERROR(CheckPower());
    unsynced_->pages.erase(unsynced_->pages.lower_bound(size), unsynced_->pages.end());
    unsynced_->lost.erase(unsynced_->lost.lower_bound(size), unsynced_->lost.end());
    return file_->Truncate(size);
  }
  absl::Status Allocate(uint64_t size) override {
    MutexLock lock(files_.mutex_);
    RETURN_IF_ERROR(CheckPower());
    RETURN_IF_ERROR(files_.TakeFailure(Operation::kAllocate));
    return file_->Allocate(size);
  }
  absl::Status FillWithZeros(uint64_t size, Pace pace) override {
    const std::string zeros(size, '\0');
    const std::string_view piece = zeros;
    RETURN_IF_ERROR(WriteAt(0, {&piece, 1}));
    pace(size);
    return absl::OkStatus();
  }
  absl::StatusOr<char*> Map(uint64_t length, bool writable) override {
    return file_->Map(length, writable);
  }
  absl::Status Lock() override { return file_->Lock(); }

 private:
  absl::Status CheckPower() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(files_.mutex_) {
    if (generation_ == files_.generation_) return absl::OkStatus();
    return absl::DataLossError("the power was cut");
  }

  ForgetfulFiles& files_;
  const std::unique_ptr<File> file_;
  const std::shared_ptr<Unsynced> unsynced_;
  const int generation_;
};

void ForgetfulFiles::CutPower(uint32_t seed) {
  std::mt19937 random(seed);
  MutexLock lock(mutex_);
  ++generation_;
  calls_to_failure_ = 0;
  for (const auto& [path, unsynced] : unsynced_) {
    if (unsynced->pages.empty() && unsynced->lost.empty()) continue;
    absl::StatusOr<std::unique_ptr<File>> file = files_.Open(path, OpenMode::kReadWrite);
    CHECK(file.ok(), path);
    const absl::StatusOr<uint64_t> size = (*file)->Size();
    CHECK(size.ok(), path);
    auto put_back = [&, &name = path](uint64_t at, std::string& before, uint32_t fate) {
      // What the file has grown by reads as zero.
      before.resize(*size > at ? std::min(kPageSize, *size - at) : 0);
      for (size_t from = 0; fate != 0 && from < before.size(); from += kSectorSize) {
        if (fate == 2 && random() % 2 == 0) continue;
        const std::string_view sector = std::string_view(before).substr(from, kSectorSize);
        CHECK((*file)->WriteAt(at + from, {&sector, 1}).ok(), name);
      }
    };
    // A third each: it had reached the disk, it had not, some of its sectors had.
    for (auto& [at, before] : unsynced->pages) put_back(at, before, random() % 3);
    for (auto& [at, before] : unsynced->lost) put_back(at, before, 1);
  }
  unsynced_.clear();
}

void ForgetfulFiles::FailAt(Operation operation, int n, absl::Status error) {
  MutexLock lock(mutex_);
  failing_ = operation;
  calls_to_failure_ = n;
  failure_ = std::move(error);
}

void ForgetfulFiles::SetSyncTime(std::chrono::microseconds time) {
  MutexLock lock(mutex_);
  sync_time_ = time;
}

void ForgetfulFiles::HoldSyncs(bool hold) {
  MutexLock lock(mutex_);
  hold_syncs_ = hold;
  time_passes_.SignalAll();
}

void ForgetfulFiles::PassSyncTime() {
  const auto until = std::chrono::steady_clock::now() + sync_time_;
  while (std::chrono::steady_clock::now() < until) time_passes_.WaitUntil(mutex_, until);
  while (hold_syncs_) time_passes_.Wait(mutex_);
}

absl::Status ForgetfulFiles::TakeFailure(Operation operation) {
  if (calls_to_failure_ == 0 || operation != failing_) return absl::OkStatus();
  return --calls_to_failure_ == 0 ? failure_ : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<File>> ForgetfulFiles::Open(const std::string& path, OpenMode mode) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, files_.Open(path, mode));
  std::shared_ptr<Unsynced>& unsynced = unsynced_[path];
  if (unsynced == nullptr) unsynced = std::make_shared<Unsynced>();
  return std::make_unique<ForgetfulFile>(*this, std::move(file), unsynced, generation_);
}

absl::Status ForgetfulFiles::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure(Operation::kRename));
  RETURN_IF_ERROR(files_.Rename(from, to));
  unsynced_.erase(to);
  if (auto moved = unsynced_.extract(from); !moved.empty()) {
    moved.key() = to;
    unsynced_.insert(std::move(moved));
  }
  return absl::OkStatus();
}

absl::Status ForgetfulFiles::SyncDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(TakeFailure(Operation::kSyncDirectory));
  return files_.SyncDirectory(path);
}

absl::Status ForgetfulFiles::Remove(const std::string& path) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(files_.Remove(path));
  unsynced_.erase(path);
  return absl::OkStatus();
}

}  // namespace dunlin
