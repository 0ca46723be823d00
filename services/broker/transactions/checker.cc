#include "services/broker/transactions/checker.h"

#include <pthread.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/transactions/records.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using store::Transaction;

// Checks of one record.
constexpr size_t kBatch = 256;
// While something is open the clock is looked at this often: the thread sleeps by one that stands
// still while the machine is suspended. A producer that comes is noticed as soon.
constexpr milliseconds kLongestNap{100};
constexpr milliseconds kNapWithoutTransactions{10'000};
// Before the next look at producers that take no more just now.
constexpr milliseconds kBusyPause{50};
// Producers may come in masses; what was postponed is looked at this often because of them.
constexpr milliseconds kResumeEvery{1000};
// Before the next try after the log had no room, and after another error.
constexpr milliseconds kRoomNap{5};
constexpr milliseconds kErrorNap{1000};

}  // namespace

struct TransactionChecker::Work {
  storage::v1::TransactionChecks checks;
  std::vector<Transaction> checked;  // in hand, in `checks`
  std::vector<Transaction> gone;     // in hand; of a topic that was deleted
  uint64_t parked = 0;
};

TransactionChecker::TransactionChecker(store::CommitLog& log, store::TransactionIndex& transactions,
                                       const TopicTable& topics, ProducerLink& producers,
                                       const Clock& clock, const CheckPolicy& policy)
    : log_(log),
      transactions_(transactions),
      topics_(topics),
      producers_(producers),
      clock_(clock),
      policy_(policy) {}

TransactionChecker::~TransactionChecker() { Stop(); }

void TransactionChecker::Start() {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "transactions");
}

void TransactionChecker::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.SignalAll();
  }
  transactions_.Interrupt();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<TransactionChecker::Rest> TransactionChecker::Step() {
  const Timestamp now = clock_.Now();
  ResumeForArrivals(now);
  for (;;) {
    ASSIGN_OR_RETURN(const store::TransactionIndex::Due due, transactions_.TakeDue(now, kBatch));
    if (!due.transactions.empty()) {
      RETURN_IF_ERROR(Handle(due.transactions, now));
      continue;
    }
    if (!due.next.has_value()) return Rest{kNapWithoutTransactions, due.seen};
    // At least a moment: what is due and was not given out is in somebody's hands.
    return Rest{std::clamp(milliseconds(*due.next - now), milliseconds(1), kLongestNap), due.seen};
  }
}

void TransactionChecker::ResumeForArrivals(Timestamp now) {
  const uint64_t arrivals = producers_.Arrivals();
  if (arrivals == arrivals_ || now < resumed_ + kResumeEvery) return;
  arrivals_ = arrivals;
  resumed_ = now;
  transactions_.Resume();
}

absl::Status TransactionChecker::Handle(const std::vector<Transaction>& due, Timestamp now) {
  Work work;
  for (const Transaction& half : due) CheckOne(half, now, work);
  const absl::Status appended = Append(work);
  if (appended.ok()) {
    if (work.parked > 0) {
      log::Warning(
          "{} transactions are parked: no producer said how they ended; `dunlinctl "
          "transaction list --parked` shows them",
          work.parked);
    }
    return absl::OkStatus();
  }
  transactions_.GiveBack(work.gone);
  for (const Transaction& half : work.checked) {
    // Their producers were asked: not again at once.
    if (!transactions_.Postpone(half, now + policy_.interval)) transactions_.GiveBack({&half, 1});
  }
  return appended;
}

void TransactionChecker::CheckOne(const Transaction& half, Timestamp now, Work& work) {
  const std::shared_ptr<const Topic> topic = topics_.FindTopic(half.queue.topic);
  if (topic == nullptr) {
    work.gone.push_back(half);
    return;
  }
  if (!policy_.MayBeChecked(half)) {
    AddCheck(CheckPolicy::Parked(half), work.checks);
    work.checked.push_back(half);
    ++work.parked;
    return;
  }
  const absl::StatusOr<ProducerLink::Outcome> asked = producers_.Ask(*topic, half);
  if (!asked.ok()) {
    // Counted: it is parked in the end, where an operator sees it.
    log::Error("a half message of topic {} cannot be checked: {}", topic->name,
               asked.status().ToString());
  } else if (*asked == ProducerLink::Outcome::kBusy) {
    if (transactions_.Postpone(half, now + kBusyPause)) return;
  } else if (*asked == ProducerLink::Outcome::kNobody) {
    if (transactions_.Postpone(half, now + policy_.interval)) return;
  }
  // Also when there was no room to remember that nobody was asked: then the check counts.
  AddCheck(policy_.Checked(half, now), work.checks);
  work.checked.push_back(half);
}

absl::Status TransactionChecker::Append(const Work& work) {
  std::vector<std::string> payloads;
  if (work.checks.checks_size() > 0) payloads.push_back(work.checks.SerializeAsString());
  for (const Transaction& half : work.gone) {
    payloads.push_back(ResolutionOf(half, /*commit=*/false).SerializeAsString());
  }
  if (payloads.empty()) return absl::OkStatus();
  const std::vector<std::string_view> views(payloads.begin(), payloads.end());
  std::vector<store::NewRecord> records(views.size());
  for (size_t i = 0; i < views.size(); ++i) {
    const bool is_check = i == 0 && work.checks.checks_size() > 0;
    records[i].kind = is_check ? store::RecordKind::kCheck : store::RecordKind::kResolution;
    records[i].payload = {&views[i], 1};
  }
  std::vector<store::Appended> appended(records.size());
  return log_.Append(records, appended, nullptr);
}

void TransactionChecker::Nap(milliseconds length) {
  const auto wake = std::chrono::steady_clock::now() + length;
  MutexLock lock(mutex_);
  while (!stopping_ && stop_.WaitUntil(mutex_, wake)) {
  }
}

void TransactionChecker::Loop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
    }
    const absl::StatusOr<Rest> rest = Step();
    if (rest.ok()) {
      transactions_.Wait(rest->seen, rest->idle);
    } else if (absl::IsResourceExhausted(rest.status())) {
      Nap(kRoomNap);
    } else {
      log::Warning("transactions cannot be checked now, trying again: {}",
                   rest.status().ToString());
      Nap(kErrorNap);
    }
  }
}

}  // namespace dunlin::broker
