#include "services/broker/transactions/lookup.h"

#include <fmt/format.h>
#include <pthread.h>

#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/status.h"

#include "services/broker/codes/public_code.h"
#include "services/store/index/transaction_index.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long the index may take to learn of what was just stored, checked or ended.
constexpr milliseconds kPatience{2000};
// A bound for what gives a transaction back without moving the dispatcher.
constexpr milliseconds kStep{20};

absl::Status Unknown() {
  return PublicError(PublicCode::kInvalidTransactionId,
                     "this broker holds no such transaction: it never did, or the transaction "
                     "ended and its message has expired");
}

}  // namespace

TransactionLookup::TransactionLookup(const store::CommitLog& log, store::Dispatcher& dispatcher,
                                     size_t capacity)
    : log_(log), dispatcher_(dispatcher), capacity_(capacity) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "transaction-end");
}

TransactionLookup::~TransactionLookup() { Stop(); }

void TransactionLookup::Find(LogOffset id, Then then) { Ask(id, /*take=*/false, std::move(then)); }

void TransactionLookup::Take(LogOffset id, Then then) { Ask(id, /*take=*/true, std::move(then)); }

void TransactionLookup::GiveBack(const store::Transaction& transaction) {
  dispatcher_.transactions().GiveBack({&transaction, 1});
}

void TransactionLookup::Ask(LogOffset id, bool take, Then then) {
  if (id >= log_.end()) return then(Unknown());
  Request request{id, take, steady_clock::now() + kPatience, std::move(then)};
  const absl::StatusOr<bool> sleeps = Enter(request);
  if (!sleeps.ok()) return request.then(sleeps.status());
  if (*sleeps) dispatcher_.dispatched().Interrupt();
}

absl::StatusOr<bool> TransactionLookup::Enter(Request& request) {
  MutexLock lock(mutex_);
  if (stopping_) return absl::UnavailableError("the broker is stopping");
  if (new_.size() + waiting_ >= capacity_) {
    return PublicError(
        PublicCode::kTooManyRequests,
        fmt::format("{} transactions wait to be looked up; try again later", capacity_));
  }
  new_.push_back(std::move(request));
  asked_.Signal();
  return waiting_ > 0;
}

std::optional<TransactionLookup::Found> TransactionLookup::Look(const Request& request,
                                                                LogOffset dispatched) {
  if (dispatched > request.id) {
    store::TransactionIndex& index = dispatcher_.transactions();
    Found found = request.take ? index.Take(request.id) : index.Find(request.id);
    if (absl::IsNotFound(found.status())) return Unknown();
    if (!absl::IsAborted(found.status())) return found;
  }
  if (steady_clock::now() < request.deadline) return std::nullopt;
  return PublicError(PublicCode::kTooManyRequests,
                     "the broker is behind with what was stored; try again later");
}

void TransactionLookup::LookForAll(std::vector<Request>& waiting, LogOffset dispatched) {
  std::vector<std::pair<Then, Found>> answered;
  std::erase_if(waiting, [&](Request& request) {
    std::optional<Found> found = Look(request, dispatched);
    if (!found.has_value()) return false;
    answered.emplace_back(std::move(request.then), *std::move(found));
    return true;
  });
  {
    MutexLock lock(mutex_);
    waiting_ = waiting.size();
  }
  for (auto& [then, found] : answered) then(std::move(found));
}

void TransactionLookup::Loop() {
  std::vector<Request> waiting;
  for (bool stopping = false; !stopping;) {
    {
      MutexLock lock(mutex_);
      while (new_.empty() && waiting.empty() && !stopping_) asked_.Wait(mutex_);
      std::move(new_.begin(), new_.end(), std::back_inserter(waiting));
      new_.clear();
      waiting_ = waiting.size();
      stopping = stopping_;
    }
    const LogOffset dispatched = dispatcher_.dispatched().Get();
    LookForAll(waiting, dispatched);
    if (!waiting.empty() && !stopping) dispatcher_.dispatched().WaitAbove(dispatched, kStep);
  }
  for (Request& request : waiting) request.then(absl::UnavailableError("the broker is stopping"));
}

void TransactionLookup::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    asked_.Signal();
  }
  dispatcher_.dispatched().Interrupt();
  if (thread_.joinable()) thread_.join();
}

}  // namespace dunlin::broker
