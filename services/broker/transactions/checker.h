// TransactionChecker: asks producers how the transactions ended that they left open.
//
// One thread (`transactions`) sleeps until the next check is due. A check that a producer was sent
// counts, and that it was made is in the log before the next one is due; one that found no producer
// does not count, and is made again after the interval, or as soon as a producer comes. When as
// many were made as allowed and the interval has passed once more, the transaction is parked: it
// stays open, and is checked no more unless somebody asks for it.
//
// A crash may take back that a check was made, never that a transaction is open.

#pragma once

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/transactions/check_policy.h"
#include "services/store/index/transaction_index.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// The way to the producers that are connected.
class ProducerLink {
 public:
  virtual ~ProducerLink() = default;

  enum class Outcome {
    kAsked,
    kBusy,    // none takes another question just now
    kNobody,  // no producer of the topic is connected
  };
  // Sends the half message to one producer of its topic. Reads the log. An error: the half message
  // cannot be read.
  virtual absl::StatusOr<Outcome> Ask(const Topic& topic, const store::Transaction& half) = 0;
  // Changes whenever a producer comes.
  virtual uint64_t Arrivals() const = 0;
};

class TransactionChecker {
 public:
  // All arguments but `policy` must outlive the object.
  TransactionChecker(store::CommitLog& log, store::TransactionIndex& transactions,
                     const TopicTable& topics, ProducerLink& producers, const Clock& clock,
                     const CheckPolicy& policy);
  ~TransactionChecker();

  // Starts the thread, which calls Step; tests call Step instead.
  void Start();
  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes the checks that are due. Errors are those of the log and of the index; what was not done
  // comes again.
  struct Rest {
    std::chrono::milliseconds idle;  // for so long nothing is due, unless the index wakes earlier
    uint64_t seen = 0;               // for TransactionIndex::Wait
  };
  absl::StatusOr<Rest> Step();

 private:
  // What is to be appended about the transactions in hand.
  struct Work;

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  void ResumeForArrivals(Timestamp now);
  absl::Status Handle(const std::vector<store::Transaction>& due, Timestamp now);
  void CheckOne(const store::Transaction& half, Timestamp now, Work& work);
  absl::Status Append(const Work& work);
  void Nap(std::chrono::milliseconds length) ABSL_LOCKS_EXCLUDED(mutex_);

  store::CommitLog& log_;
  store::TransactionIndex& transactions_;
  const TopicTable& topics_;
  ProducerLink& producers_;
  const Clock& clock_;
  const CheckPolicy policy_;

  // Of the thread.
  uint64_t arrivals_ = 0;
  Timestamp resumed_;

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
