// TransactionAdmin: what operators see of transactions, and do in place of a producer. No gRPC
// here.
//
// Thread-safe. Listing reads from disk: call it on an executor, not on an RPC thread; the others
// come back at once, and answer later. Errors are canonical statuses.

#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/base/clock.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/transactions/lookup.h"
#include "services/broker/transactions/resolution.h"
#include "services/broker/transactions/transaction_id.h"
#include "services/broker/wire/broker_mark.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/transaction.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// The rooms it looks into; all outlive it.
struct TransactionAdminRooms {
  store::CommitLog& log;
  store::Dispatcher& dispatcher;
  const TopicTable& topics;
  const Taker& taker;
  TransactionLookup& lookup;
  const Clock& clock;
  BrokerMark mark = kNoMark;  // of this broker
};

class TransactionAdmin {
 public:
  explicit TransactionAdmin(const TransactionAdminRooms& rooms) : rooms_(rooms) {}

  absl::StatusOr<admin::v1::ListTransactionsResponse> List(
      const admin::v1::ListTransactionsRequest& request) const;
  // `then` is told once, at once or on a thread of the broker, and must not block.
  using ThenGot = absl::AnyInvocable<void(absl::StatusOr<admin::v1::GetTransactionResponse>)>;
  void Get(const admin::v1::GetTransactionRequest& request, ThenGot then) const;
  using Then = absl::AnyInvocable<void(const absl::Status&)>;
  void Resolve(const admin::v1::ResolveTransactionRequest& request, Then then);
  void Recheck(const admin::v1::RecheckTransactionRequest& request, Then then);

 private:
  absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(const std::string& name_space,
                                                         const std::string& name) const;
  // The id that `text` is, if it is one of the topic.
  absl::StatusOr<TransactionId> IdOf(const Topic& topic, const std::string& text) const;
  absl::StatusOr<Ending> EndingOf(const admin::v1::ResolveTransactionRequest& request) const;
  // A transaction as a request names it.
  struct Named {
    std::shared_ptr<const Topic> topic;
    LogOffset id;
  };
  absl::StatusOr<Named> Find(const std::string& name_space, const std::string& topic,
                             const std::string& id) const;
  // How it looks from outside; its half message goes to `half` when it can be read.
  admin::v1::Transaction Shown(const Topic& topic, const store::Transaction& transaction,
                               Delivered& half) const;

  const TransactionAdminRooms rooms_;
};

}  // namespace dunlin::broker
