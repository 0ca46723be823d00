#include "dunlin/transaction_producer.h"

#include <utility>

#include "clients/cpp/src/transaction_core.h"

namespace dunlin {

Transaction::Transaction(std::shared_ptr<internal::TransactionCore> core, std::string topic,
                         std::string broker, std::string id, std::string message_id)
    : core_(std::move(core)),
      topic_(std::move(topic)),
      broker_(std::move(broker)),
      id_(std::move(id)),
      message_id_(std::move(message_id)) {}
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&&) noexcept = default;
Transaction::~Transaction() = default;

absl::Status Transaction::Commit() {
  return core_->End({topic_, broker_, id_, message_id_}, /*commit=*/true);
}

absl::Status Transaction::Rollback() {
  return core_->End({topic_, broker_, id_, message_id_}, /*commit=*/false);
}

TransactionProducer::TransactionProducer(std::shared_ptr<internal::TransactionCore> core)
    : core_(std::move(core)) {}
TransactionProducer::TransactionProducer(TransactionProducer&&) noexcept = default;

TransactionProducer& TransactionProducer::operator=(TransactionProducer&& other) noexcept {
  Close();
  core_ = std::move(other.core_);
  return *this;
}

TransactionProducer::~TransactionProducer() { Close(); }

absl::StatusOr<Transaction> TransactionProducer::Prepare(const Message& message) {
  absl::StatusOr<internal::TransactionCore::Prepared> prepared = core_->Prepare(message);
  if (!prepared.ok()) return prepared.status();
  return Transaction(core_, std::move(prepared->topic), std::move(prepared->broker),
                     std::move(prepared->transaction_id), std::move(prepared->message_id));
}

void TransactionProducer::Close() {
  if (core_ != nullptr) core_->Close();
}

}  // namespace dunlin
