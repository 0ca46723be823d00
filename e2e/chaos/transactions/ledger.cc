#include "e2e/chaos/transactions/ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "services/base/status_macros.h"

namespace dunlin::e2e::transactions {

// Or they would not be atomic between processes.
static_assert(std::atomic<int64_t>::is_always_lock_free);
static_assert(std::atomic<State>::is_always_lock_free);

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Map(const std::string& path, size_t bytes,
                                                    bool create) {
  const auto failed = [&](const char* what) {
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
      states_(reinterpret_cast<std::atomic<State>*>(static_cast<char*>(memory) + sizeof(Head))) {}

Ledger::~Ledger() { munmap(memory_, bytes_); }

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Create(const std::string& path, int32_t items) {
  const size_t bytes = sizeof(Head) + static_cast<size_t>(items) * sizeof(std::atomic<State>);
  ASSIGN_OR_RETURN(std::unique_ptr<Ledger> ledger, Map(path, bytes, /*create=*/true));
  Head* const head = new (ledger->memory_) Head;
  head->items = items;
  for (int32_t i = 0; i < items; ++i) {
    new (&ledger->states_[i]) std::atomic<State>(State::kUntouched);
  }
  return ledger;
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path) {
  return Map(path, 0, /*create=*/false);
}

int32_t Ledger::Begin() {
  if (head_->next.load() >= items()) return items();
  const int32_t item = head_->next.fetch_add(1);
  if (item < items()) states_[item].store(State::kBegun);
  return item;
}

int32_t Ledger::begun() const { return std::min(head_->next.load(), items()); }

State Ledger::Decide(int32_t item, bool commit) {
  const State decided = commit ? State::kCommitted : State::kRolledBack;
  State before = State::kBegun;
  return states_[item].compare_exchange_strong(before, decided) ? decided : before;
}

void Ledger::Violate(int32_t item) {
  int32_t none = -1;
  head_->violated.compare_exchange_strong(none, item);
}

absl::Status Ledger::Verdict() const {
  const int32_t item = head_->violated.load();
  if (item < 0) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("transaction {} ended one way, and then the other was accepted", item));
}

}  // namespace dunlin::e2e::transactions
