#include "services/broker/admin/transaction_admin.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {
namespace {

constexpr uint32_t kDefaultPage = 100;
constexpr uint32_t kMaxPage = 1000;
// Transactions that are looked at for one page, however few of them are wanted.
constexpr size_t kMostLookedAt = 10'000;

void SetTime(Timestamp from, google::protobuf::Timestamp* to) {
  const int64_t millis = ToUnixMillis(from);
  to->set_seconds(millis / 1000);
  to->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
}

// Public statuses as canonical ones.
absl::Status Canonical(const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), status.message());
}

admin::v1::TransactionState StateOf(const store::Transaction& transaction) {
  switch (transaction.state) {
    case store::TransactionState::kCommitted:
      return admin::v1::COMMITTED;
    case store::TransactionState::kRolledBack:
      return admin::v1::ROLLED_BACK;
    case store::TransactionState::kOpen:
      break;
  }
  return transaction.next_check.has_value() ? admin::v1::OPEN : admin::v1::PARKED;
}

absl::StatusOr<LogOffset> ParseToken(const std::string& token) {
  uint64_t offset = 0;
  const char* const end = token.data() + token.size();
  const auto [last, error] = std::from_chars(token.data(), end, offset);
  if (!token.empty() && (error != std::errc() || last != end)) {
    return absl::InvalidArgumentError("the page token is none that a page before had");
  }
  return LogOffset(offset);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Topic>> TransactionAdmin::FindTopic(
    const std::string& name_space, const std::string& name) const {
  RETURN_IF_ERROR(CheckTopicName(name_space, name));
  std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(name_space, name);
  if (topic != nullptr) return topic;
  return absl::NotFoundError(fmt::format("there is no topic {}; `dunlinctl topic list` shows all",
                                         QualifiedName(name_space, name)));
}

absl::StatusOr<TransactionId> TransactionAdmin::IdOf(const Topic& topic,
                                                     const std::string& text) const {
  const absl::StatusOr<TransactionId> id = DecodeTransactionId(text);
  if (!id.ok()) return absl::InvalidArgumentError(id.status().message());
  if (id->topic == topic.id) return *id;
  return absl::InvalidArgumentError(
      fmt::format("the transaction is one of another topic, not {}", topic.name));
}

admin::v1::Transaction TransactionAdmin::Shown(const Topic& topic,
                                               const store::Transaction& transaction,
                                               Delivered& half) const {
  admin::v1::Transaction shown;
  shown.set_transaction_id(Encode(MakeTransactionId(topic.id, transaction.id, "", rooms_.mark)));
  shown.set_topic(QualifiedName(topic.name_space, topic.name));
  shown.set_state(StateOf(transaction));
  if (transaction.state == store::TransactionState::kOpen) {
    shown.set_queue(transaction.queue.queue);
    shown.set_checks(transaction.checks);
    if (transaction.next_check.has_value()) {
      SetTime(*transaction.next_check, shown.mutable_next_check_time());
    }
  }
  store::IndexEntry entry;
  entry.log_offset = transaction.place;
  entry.length = 1;  // what matters is that it is not 0
  absl::StatusOr<Delivered> found = rooms_.taker.ReadEntry(entry);
  if (!found.ok()) return shown;  // damaged, or expired just now
  half = *std::move(found);
  SetTime(half.message.header().store_time, shown.mutable_store_time());
  const absl::StatusOr<StoredMessage> stored =
      ScanStored(half.message.payload(), half.message.header().properties_offset);
  if (stored.ok()) shown.set_message_id(std::string(stored->message_id));
  shown.set_transaction_id(
      Encode(MakeTransactionId(topic.id, transaction.id, shown.message_id(), rooms_.mark)));
  return shown;
}

absl::StatusOr<admin::v1::ListTransactionsResponse> TransactionAdmin::List(
    const admin::v1::ListTransactionsRequest& request) const {
  if (request.page_size() > kMaxPage) {
    return absl::InvalidArgumentError(
        fmt::format("a page size of {}; choose 1 to {}", request.page_size(), kMaxPage));
  }
  const int limit = static_cast<int>(request.page_size() == 0 ? kDefaultPage : request.page_size());
  std::shared_ptr<const Topic> only;
  if (!request.topic().empty()) {
    ASSIGN_OR_RETURN(only, FindTopic(request.namespace_(), request.topic()));
  }
  ASSIGN_OR_RETURN(LogOffset from, ParseToken(request.page_token()));
  ASSIGN_OR_RETURN(const std::vector<store::Transaction> looked_at,
                   rooms_.dispatcher.transactions().List(from, kMostLookedAt));
  admin::v1::ListTransactionsResponse response;
  for (const store::Transaction& transaction : looked_at) {
    if (response.transactions_size() == limit) break;
    from = transaction.id + 1;
    const std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(transaction.queue.topic);
    if (topic == nullptr || (only != nullptr && only->id != topic->id)) continue;
    if (request.parked() && transaction.next_check.has_value()) continue;
    Delivered half;
    *response.add_transactions() = Shown(*topic, transaction, half);
  }
  const bool all =
      looked_at.size() < kMostLookedAt && (looked_at.empty() || from == looked_at.back().id + 1);
  if (!all) response.set_next_page_token(std::to_string(from.value()));
  return response;
}

absl::StatusOr<TransactionAdmin::Named> TransactionAdmin::Find(const std::string& name_space,
                                                               const std::string& topic,
                                                               const std::string& id) const {
  Named named;
  ASSIGN_OR_RETURN(named.topic, FindTopic(name_space, topic));
  ASSIGN_OR_RETURN(const TransactionId decoded, IdOf(*named.topic, id));
  named.id = decoded.half;
  return named;
}

void TransactionAdmin::Get(const admin::v1::GetTransactionRequest& request, ThenGot then) const {
  absl::StatusOr<Named> named =
      Find(request.namespace_(), request.topic(), request.transaction_id());
  if (!named.ok()) return then(named.status());
  rooms_.lookup.Find(
      named->id, [this, topic = named->topic, id = request.transaction_id(),
                  then = std::move(then)](const absl::StatusOr<store::Transaction>& found) mutable {
        if (!found.ok()) return then(Canonical(found.status()));
        admin::v1::GetTransactionResponse response;
        Delivered half;
        *response.mutable_transaction() = Shown(*topic, *found, half);
        // The id says what its sender wants it to; the index and the log say of which topic it is.
        const bool open = found->state == store::TransactionState::kOpen;
        const TopicId of = open ? found->queue.topic : half.message.header().queue.topic;
        if (of != topic->id) {
          return then(absl::InvalidArgumentError(
              fmt::format("the transaction is not one of topic {}", topic->name)));
        }
        response.mutable_transaction()->set_transaction_id(id);
        response.set_message(half.message.payload().data(), half.message.payload().size());
        then(std::move(response));
      });
}

absl::StatusOr<Ending> TransactionAdmin::EndingOf(
    const admin::v1::ResolveTransactionRequest& request) const {
  ASSIGN_OR_RETURN(const Named named,
                   Find(request.namespace_(), request.topic(), request.transaction_id()));
  if (request.resolution() != admin::v1::COMMIT && request.resolution() != admin::v1::ROLLBACK) {
    return absl::InvalidArgumentError("say how it ends: COMMIT or ROLLBACK");
  }
  return Ending{named.topic, named.id, request.resolution() == admin::v1::COMMIT};
}

void TransactionAdmin::Resolve(const admin::v1::ResolveTransactionRequest& request, Then then) {
  absl::StatusOr<Ending> ending = EndingOf(request);
  if (!ending.ok()) return then(ending.status());
  broker::Resolve(
      rooms_.log, rooms_.lookup, *std::move(ending),
      [then = std::move(then)](const absl::Status& status) mutable { then(Canonical(status)); });
}

void TransactionAdmin::Recheck(const admin::v1::RecheckTransactionRequest& request, Then then) {
  const absl::StatusOr<Named> named =
      Find(request.namespace_(), request.topic(), request.transaction_id());
  if (!named.ok()) return then(named.status());
  broker::Recheck(
      rooms_.log, rooms_.lookup, {named->topic, named->id}, rooms_.clock.Now(),
      [then = std::move(then)](const absl::Status& status) mutable { then(Canonical(status)); });
}

}  // namespace dunlin::broker
