#include "e2e/chaos/fifo/ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "services/base/status_macros.h"

namespace dunlin::e2e::fifo {

// Both sides of the map are lock-free, or they would not be atomic between processes.
static_assert(std::atomic<int64_t>::is_always_lock_free);
static_assert(std::atomic<int32_t>::is_always_lock_free);

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Map(const std::string& path, size_t bytes,
                                                    bool create) {
  const auto failed = [&](std::string_view what) {
    return absl::InternalError(fmt::format("{} {}: {}", what, path, strerror(errno)));
  };
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
  if (fd < 0) return failed("open");
  struct stat found {};
  if ((create && ftruncate(fd, static_cast<off_t>(bytes)) != 0) || fstat(fd, &found) != 0) {
    close(fd);
    return failed("size of");
  }
  bytes = static_cast<size_t>(found.st_size);
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return failed("mmap");
  return std::unique_ptr<Ledger>(new Ledger(memory, bytes));
}

Ledger::Ledger(void* memory, size_t bytes)
    : memory_(memory),
      bytes_(bytes),
      head_(static_cast<Head*>(memory)),
      next_(reinterpret_cast<std::atomic<int32_t>*>(static_cast<char*>(memory) + sizeof(Head))) {}

Ledger::~Ledger() { munmap(memory_, bytes_); }

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Create(const std::string& path, int32_t groups,
                                                       int32_t per_group) {
  const size_t bytes = sizeof(Head) + static_cast<size_t>(groups) * sizeof(std::atomic<int32_t>);
  ASSIGN_OR_RETURN(std::unique_ptr<Ledger> ledger, Map(path, bytes, /*create=*/true));
  Head* const head = new (ledger->memory_) Head;
  for (int32_t i = 0; i < groups; ++i) new (&ledger->next_[i]) std::atomic<int32_t>(0);
  head->groups = groups;
  head->per_group = per_group;
  head->left.store(int64_t{groups} * per_group);
  return ledger;
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path) {
  return Map(path, 0, /*create=*/false);
}

absl::Status Ledger::Process(int32_t group, int32_t number) {
  if (group < 0 || group >= groups() || number < 0 || number >= per_group()) {
    return absl::DataLossError(fmt::format("message {} of group {} was never sent", number, group));
  }
  int32_t expected = number;
  if (next_[group].compare_exchange_strong(expected, number + 1)) {
    head_->left.fetch_sub(1);
    return absl::OkStatus();
  }
  if (number < expected) {
    head_->deeds.processed_again.fetch_add(1);
    return absl::OkStatus();
  }
  int32_t nobody = 0;
  if (head_->violated.compare_exchange_strong(nobody, 1)) {
    head_->bad_group = group;
    head_->bad_number = number;
    head_->bad_expected = expected;
    head_->violated.store(2);
  }
  return absl::DataLossError("a message overtakes another one");
}

absl::Status Ledger::Verdict() const {
  if (head_->violated.load() != 2) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("message {} of group {} was delivered before message {} was processed",
                  head_->bad_number, head_->bad_group, head_->bad_expected));
}

}  // namespace dunlin::e2e::fifo
