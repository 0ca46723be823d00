// TransactionProducer: sends messages that nobody sees before their transaction is committed.
//
//   absl::StatusOr<Transaction> transaction = producer->Prepare(message);  // stored, not seen
//   if (!transaction.ok()) return transaction.status();
//   const bool done = ChangeTheDatabase();
//   return done ? transaction->Commit() : transaction->Rollback();
//
// A transaction that was left open (a crash, an answer that was lost) is one that the broker asks
// about: some seconds later, and again every so often, any producer that is connected and sends to
// the topic, be it another process. So the checker has to tell from the message alone how the
// local transaction ended. A crash may leave a half message that nobody knows of: the answer about
// it must be kRollback, and from then on that transaction must not succeed any more.
//
// Thread-safe. The destructor is Close().

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/message.h"

namespace dunlin {

enum class Resolution {
  kCommit,
  kRollback,
  kUnknown,  // not yet; the broker asks again
};

// A transaction that the broker asks about, of this producer or of another one.
struct OrphanedTransaction {
  std::string transaction_id;
  std::string message_id;
  Message message;  // topic, body, tag, keys, properties
};

struct TransactionProducerOptions {
  // How the local transaction ended. Called on a thread of the producer, one call at a time; may
  // take its time. What comes while very many wait is dropped: the broker asks again.
  std::function<Resolution(const OrphanedTransaction&)> checker;
  // Topics that it may be asked about from the start; those that it sends to are added.
  std::vector<std::string> topics;
  // How long the broker waits for the end of a transaction before it asks first, up to an hour;
  // none: as the broker is configured.
  std::optional<std::chrono::milliseconds> first_check;
  // Of Prepare, Commit and Rollback.
  std::chrono::milliseconds request_timeout{5000};
};

namespace internal {
class TransactionCore;
}

// A half message. A handle that may be moved; dropping it leaves the transaction open, for the
// checker to decide.
class Transaction {
 public:
  Transaction(std::shared_ptr<internal::TransactionCore> core, std::string topic,
              std::string broker, std::string id, std::string message_id);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  ~Transaction();

  const std::string& id() const { return id_; }
  const std::string& message_id() const { return message_id_; }

  // Idempotent, and tried again while the broker is away. Errors: NOT_FOUND (the topic or the
  // transaction is gone), FAILED_PRECONDITION (it ended the other way, by the checker or an
  // operator; or the producer is closed), UNAVAILABLE and DEADLINE_EXCEEDED (not within
  // request_timeout: it may have ended all the same, and the broker asks if it did not).
  absl::Status Commit();
  absl::Status Rollback();

 private:
  std::shared_ptr<internal::TransactionCore> core_;
  std::string topic_;
  std::string broker_;  // that has it
  std::string id_;
  std::string message_id_;
};

class TransactionProducer {
 public:
  explicit TransactionProducer(std::shared_ptr<internal::TransactionCore> core);
  TransactionProducer(TransactionProducer&&) noexcept;
  TransactionProducer& operator=(TransactionProducer&&) noexcept;
  ~TransactionProducer();

  // Stores the message where nobody sees it. Sent once: after an error that leaves open whether it
  // was stored (UNAVAILABLE, DEADLINE_EXCEEDED) there may be a half message that the broker asks
  // about. Other errors: INVALID_ARGUMENT (a message with a queue, an ordering key, a message group
  // or a delivery time; or as the broker refuses it: the topic must take TRANSACTION), NOT_FOUND,
  // PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION (closed).
  absl::StatusOr<Transaction> Prepare(const Message& message);

  // Answers no more questions; waits for a checker that is running. Transactions that are open stay
  // so. Idempotent. Not from a checker.
  void Close();

 private:
  std::shared_ptr<internal::TransactionCore> core_;
};

}  // namespace dunlin
