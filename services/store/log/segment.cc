#include "services/store/log/segment.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <utility>

#include "services/base/check.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr size_t kNameLength = 20;
constexpr uintptr_t kPageSize = 4096;

// Address ranges of mapped segments, for the signal handler: slots are taken and freed with
// atomics only. A segment beyond the last slot is simply not guarded.
struct GuardedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
};
std::array<GuardedRange, 4096> guarded;

// A read of a mapped page failed. Ours: put zeros there and go on; the record's CRC will tell.
// Somebody else's: die as usual.
void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const GuardedRange& range : guarded) {
    if (address < range.begin.load() || address >= range.end.load()) continue;
    void* page = reinterpret_cast<void*>(address & ~(kPageSize - 1));
    if (mmap(page, kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
        MAP_FAILED) {
      return;
    }
  }
  struct sigaction fatal {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signal, &fatal, nullptr);
}

void InstallHandler() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  CHECK(installed);
}

void Guard(const char* map, uint64_t size) {
  InstallHandler();
  const auto begin = reinterpret_cast<uintptr_t>(map);
  for (GuardedRange& range : guarded) {
    uintptr_t free = 0;
    if (range.begin.compare_exchange_strong(free, begin)) {
      range.end.store(begin + size);
      return;
    }
  }
}

void Unguard(const char* map) {
  const auto begin = reinterpret_cast<uintptr_t>(map);
  for (GuardedRange& range : guarded) {
    if (range.begin.load() != begin) continue;
    range.end.store(0);
    range.begin.store(0);
    return;
  }
}

}  // namespace

std::string SegmentName(LogOffset begin) { return fmt::format("{:020}", begin.value()); }

bool ParseSegmentName(std::string_view name, LogOffset& begin) {
  if (name.size() != kNameLength) return false;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size()) return false;
  begin = LogOffset(value);
  return true;
}

Segment::Segment(std::string path, LogOffset begin, uint64_t size, std::unique_ptr<File> file,
                 char* map)
    : path_(std::move(path)), begin_(begin), size_(size), file_(std::move(file)), map_(map) {
  Guard(map_, size_);
}

Segment::~Segment() {
  Unguard(map_);
  Unmap(map_, size_);
}

absl::StatusOr<std::shared_ptr<Segment>> Segment::Open(FileSystem& files, const std::string& path,
                                                       LogOffset begin) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, files.Open(path, OpenMode::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size == 0) return absl::DataLossError(fmt::format("{} is empty", path));
  ASSIGN_OR_RETURN(char* const map, file->Map(size, /*writable=*/false));
  return std::shared_ptr<Segment>(new Segment(path, begin, size, std::move(file), map));
}

void Segment::Prefetch(LogOffset from, uint64_t length) const {
  constexpr uint64_t kPage = 4096;
  const uint64_t begin = (from - begin_) / kPage * kPage;
  const uint64_t end = std::min(size_, from - begin_ + length);
  // Only advice: nothing depends on it.
  if (begin < end) madvise(map_ + begin, end - begin, MADV_WILLNEED);
}

}  // namespace dunlin::store
