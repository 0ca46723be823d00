#include "services/store/log/control_page.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// Constant part: "DUNLINCP", format u32, CRC-32C u32 of the 12 bytes before it. From byte 64 on the
// atomics.
constexpr std::string_view kMagic = "DUNLINCP";
constexpr uint32_t kFormat = 2;
constexpr size_t kPageSize = 4096;
constexpr size_t kAtomicsAt = 64;

using Page = ControlPage::Page;
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(Bell) == 4);
static_assert(offsetof(Page, orders) == 64 && offsetof(Page, answers) == 128 &&
              offsetof(Page, for_broker) == 192 && offsetof(Page, for_replicator) == 256);
static_assert(kAtomicsAt + sizeof(Page) <= kPageSize);

constexpr int kSerialBits = 24;
constexpr int kRoleBits = 8;
constexpr uint64_t kSerialMask = (uint64_t{1} << kSerialBits) - 1;
constexpr uint64_t kRoleMask = (uint64_t{1} << kRoleBits) - 1;

std::string ConstantPart() {
  std::string bytes(kMagic);
  bytes.resize(16);
  StoreLittle(bytes.data() + 8, kFormat);
  StoreLittle(bytes.data() + 12, Crc32c({bytes.data(), 12}));
  return bytes;
}

// A number that differs from boot to boot; never 0.
uint64_t ThisBoot(FileSystem& files) {
  uint64_t boot = 0;
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open("/proc/sys/kernel/random/boot_id", OpenMode::kRead);
  if (file.ok()) {
    // 16 of its hexadecimal digits, which stand in groups.
    const absl::StatusOr<std::string> id = (*file)->ReadAt(0, 18);
    if (id.ok() && id->size() == 18) {
      const std::string digits = id->substr(0, 8) + id->substr(9, 4) + id->substr(14, 4);
      std::from_chars(digits.data(), digits.data() + digits.size(), boot, 16);
    }
  }
  if (boot == 0) log::Warning("this boot has no number: orders of an earlier one are believed");
  return boot == 0 ? 1 : boot;
}

Wanted Unpack(uint64_t packed) {
  return {static_cast<Role>(packed >> kSerialBits & kRoleMask),
          Epoch(static_cast<uint32_t>(packed >> (kSerialBits + kRoleBits))),
          static_cast<uint32_t>(packed & kSerialMask)};
}

absl::StatusOr<bool> IsOurs(File& file) {
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size != kPageSize) return false;
  const std::string constant = ConstantPart();
  ASSIGN_OR_RETURN(const std::string found, file.ReadAt(0, constant.size()));
  return found == constant;
}

// Broker and replicator may come to it at the same time; a page that is ours is never written over.
absl::Status MakeAnew(File& file, const std::string& path) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Mutex mutex;
  CondVar never;
  absl::Status locked = file.Lock();
  while (absl::IsFailedPrecondition(locked) && std::chrono::steady_clock::now() < give_up) {
    MutexLock lock(mutex);
    never.WaitUntil(mutex, std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
    locked = file.Lock();
  }
  RETURN_IF_ERROR(locked);
  ASSIGN_OR_RETURN(const bool ours, IsOurs(file));
  if (ours) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size != 0) log::Warning("{} is not a control page of this version: made anew", path);
  RETURN_IF_ERROR(file.Truncate(0));
  std::string page = ConstantPart();
  page.resize(kPageSize);
  const std::string_view piece = page;
  return file.WriteAt(0, {&piece, 1});
}

}  // namespace

// The lowest bit says that somebody waits, the others count: a waiter sets the bit as long as the
// count is the one it looked at, and sleeps only while the word is still that; whoever counts on
// clears the bit in the same step, and wakes those who set it.
void Bell::Ring() {
  uint32_t word = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(word, (word & ~kSomebodyWaits) + 2)) {
  }
  if ((word & kSomebodyWaits) != 0) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word_), FUTEX_WAKE, INT_MAX, nullptr, nullptr,
            0);
  }
}

void Bell::Wait(uint32_t looked, std::chrono::nanoseconds timeout) {
  if (timeout.count() <= 0) return;
  uint32_t word = word_.load();
  do {
    if ((word & ~kSomebodyWaits) != looked) return;
  } while (word == looked && !word_.compare_exchange_weak(word, looked | kSomebodyWaits));
  timespec time{};
  time.tv_sec = static_cast<time_t>(timeout.count() / 1'000'000'000);
  time.tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000);
  // Not FUTEX_PRIVATE: the other side may be another process. Whatever ends the wait, the caller
  // looks again.
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word_), FUTEX_WAIT, looked | kSomebodyWaits,
          &time, nullptr, 0);
}

ControlPage::ControlPage(char* map, std::unique_ptr<File> file, uint64_t boot)
    : map_(map),
      file_(std::move(file)),
      boot_(boot),
      page_(std::launder(reinterpret_cast<Page*>(map + kAtomicsAt))) {}

ControlPage::~ControlPage() { Unmap(map_, kPageSize); }

absl::StatusOr<std::unique_ptr<ControlPage>> ControlPage::Open(FileSystem& files,
                                                               const std::string& path) {
  for (;;) {
    ASSIGN_OR_RETURN(std::unique_ptr<File> file, files.Open(path, OpenMode::kCreate));
    ASSIGN_OR_RETURN(const bool ours, IsOurs(*file));
    if (ours) {
      ASSIGN_OR_RETURN(char* const map, file->Map(kPageSize, /*writable=*/true));
      return std::unique_ptr<ControlPage>(new ControlPage(map, std::move(file), ThisBoot(files)));
    }
    RETURN_IF_ERROR(MakeAnew(*file, path));
  }
}

absl::StatusOr<std::unique_ptr<ControlPage>> ControlPage::OpenForReading(FileSystem& files,
                                                                         const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, files.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const bool ours, IsOurs(*file));
  if (!ours) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not a control page of format {}", path, kFormat));
  }
  ASSIGN_OR_RETURN(char* const map, file->Map(kPageSize, /*writable=*/false));
  return std::unique_ptr<ControlPage>(new ControlPage(map, std::move(file), ThisBoot(files)));
}

absl::Status ControlPage::LowerFlushed(LogOffset offset) {
  SetFlushed(std::min(offset, flushed()));
  // Writes out what was stored through the map, too.
  return file_->DataSync();
}

void ControlPage::BeginOrders() {
  const uint64_t last = page_->orders.wanted.load() & kSerialMask;
  page_->orders.wanted.store(last);  // no role
  page_->orders.sends.store(0);
  page_->orders.lease_until.store(0);
  page_->orders.replicated.store(0);
  page_->orders.master_start.store(0);
  page_->orders.boot.store(boot_);
  Want(Role::kNone, Epoch(0));
}

uint32_t ControlPage::Want(Role role, Epoch epoch) {
  uint64_t serial = ((page_->orders.wanted.load() & kSerialMask) + 1) & kSerialMask;
  if (serial == 0) serial = 1;
  page_->orders.wanted.store((uint64_t{epoch.value()} << (kSerialBits + kRoleBits)) |
                             (static_cast<uint64_t>(role) << kSerialBits) | serial);
  page_->for_broker.Ring();
  return static_cast<uint32_t>(serial);
}

void ControlPage::SetReplicated(LogOffset offset) {
  page_->orders.replicated.store(offset.value());
  page_->for_broker.Ring();
}

void ControlPage::SetLeaseUntil(std::chrono::nanoseconds boot_time) {
  page_->orders.lease_until.store(boot_time.count());
  page_->for_broker.Ring();
}

void ControlPage::SetSends(Sends sends) {
  page_->orders.sends.store(static_cast<uint64_t>(sends));
  page_->for_broker.Ring();
}

void ControlPage::SetMasterStart(LogOffset offset) {
  page_->orders.master_start.store(offset.value());
  page_->for_broker.Ring();
}

void ControlPage::SetMember(MemberStanding member) {
  page_->orders.member.store((uint64_t{member.learner} << 32) | member.id);
  page_->for_broker.Ring();
}

MemberStanding ControlPage::member() const {
  const uint64_t packed = page_->orders.member.load();
  return {.id = static_cast<uint32_t>(packed), .learner = (packed >> 32) != 0};
}

Wanted ControlPage::wanted() const {
  return OrdersAreOfThisBoot() ? Unpack(page_->orders.wanted.load()) : Wanted();
}

LogOffset ControlPage::replicated() const {
  return LogOffset(OrdersAreOfThisBoot() ? page_->orders.replicated.load() : 0);
}

LogOffset ControlPage::master_start() const {
  return LogOffset(OrdersAreOfThisBoot() ? page_->orders.master_start.load() : 0);
}

std::chrono::nanoseconds ControlPage::lease_until() const {
  if (!OrdersAreOfThisBoot()) return std::chrono::nanoseconds(0);
  return std::chrono::nanoseconds(page_->orders.lease_until.load());
}

Sends ControlPage::sends() const {
  if (!OrdersAreOfThisBoot()) return Sends::kNobodySaid;
  return static_cast<Sends>(page_->orders.sends.load());
}

void ControlPage::Report(Reported reported) {
  page_->answers.reported.store((static_cast<uint64_t>(reported.state) << kSerialBits) |
                                reported.serial);
  page_->for_replicator.Ring();
}

Reported ControlPage::reported() const {
  const uint64_t packed = page_->answers.reported.load();
  return {static_cast<BrokerState>(packed >> kSerialBits),
          static_cast<uint32_t>(packed & kSerialMask)};
}

void ControlPage::SetViewed(LogOffset offset) {
  page_->answers.viewed.store(offset.value());
  page_->for_replicator.Ring();
}

void ControlPage::SetShown(LogOffset offset, uint64_t cuts) {
  Answers& answers = page_->answers;
  if (answers.shown_at.load() != cuts) {
    // In this order: what is between them shows nothing of this log.
    answers.shown.store(offset.value());
    answers.shown_at.store(cuts);
  } else if (answers.shown.load() < offset.value()) {
    answers.shown.store(offset.value());
  }
}

void ControlPage::Beat() {
  page_->answers.heartbeat.fetch_add(1);
  page_->for_replicator.Ring();
}

}  // namespace dunlin::store
