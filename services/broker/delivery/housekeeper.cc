#include "services/broker/delivery/housekeeper.h"

#include <pthread.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "services/base/log.h"

namespace dunlin::broker {
namespace {

constexpr size_t kMaxRecordBytes = 1u << 20;
// A consumer that vanished gives its messages back after this.
constexpr std::chrono::seconds kReleaseDelay{1};

}  // namespace

Housekeeper::Housekeeper(store::CommitLog& log, Progress& progress, ClientRegistry& clients,
                         const Clock& clock, Hooks hooks)
    : log_(log),
      progress_(progress),
      clients_(clients),
      clock_(clock),
      last_renewal_(clock.Now()),
      hooks_(std::move(hooks)) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "housekeeper");
}

Housekeeper::~Housekeeper() { Stop(); }

void Housekeeper::Step() {
  if (!watched_ && hooks_.watch) watched_ = hooks_.watch();
  const absl::Status saved = SaveProgress();
  if (!saved.ok() && !saving_fails_) {
    log::Warning("consumer progress cannot be saved, trying on: {}", saved.ToString());
  }
  saving_fails_ = !saved.ok();
  if (hooks_.step) hooks_.step();
  if (clock_.Now() - last_renewal_ < kRenewInterval) return;
  last_renewal_ = clock_.Now();
  absl::flat_hash_set<std::string> gone;
  for (const std::string& client : clients_.TakeExpired()) {
    if (!clients_.IsAlive(client)) gone.insert(client);  // else it is back already
  }
  if (!gone.empty()) progress_.ReleaseClients(gone, kReleaseDelay);
  for (const std::string& client : gone) {
    // What it has told since it came back is not to be forgotten.
    if (clients_.IsAlive(client)) continue;
    log::Info("client {} has gone silent", client);
    if (hooks_.on_gone) hooks_.on_gone(client);
  }
  progress_.RenewLeases([this](std::string_view client) { return clients_.IsAlive(client); });
}

absl::Status Housekeeper::SaveProgress() {
  for (;;) {
    const std::string changes = progress_.TakeChanges(kMaxRecordBytes);
    if (changes.empty()) return absl::OkStatus();
    const std::array<std::string_view, 1> payload = {changes};
    store::NewRecord record;
    record.kind = store::RecordKind::kProgress;
    record.payload = payload;
    std::array<store::Appended, 1> appended;
    const absl::Status status = log_.Append({&record, 1}, appended, nullptr);
    if (!status.ok()) {
      progress_.GiveBackChanges();
      return status;
    }
    progress_.ChangesSaved(appended[0].log_offset);
  }
}

void Housekeeper::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.Signal();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  if (const absl::Status saved = SaveProgress(); !saved.ok()) {
    log::Warning("the last consumer progress was not saved, messages may be delivered again: {}",
                 saved.ToString());
  }
}

void Housekeeper::Loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    stop_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kSaveInterval);
    if (stopping_) return;
    mutex_.Unlock();
    Step();
    mutex_.Lock();
  }
}

}  // namespace dunlin::broker
