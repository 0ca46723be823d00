// Ten orders, each a change of a database and a message that is seen if, and only if, the change
// was made. The topic takes TRANSACTION: dunlinctl topic create orders --kinds TRANSACTION
//
//   transaction_producer [ENDPOINT [TOPIC]]

#include <dunlin/client.h>
#include <dunlin/transaction_producer.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "client_options.h"

namespace {

constexpr int kOrders = 10;

// Stands for a database that all processes share. An order is decided once.
class Orders {
 public:
  // Whether it was done, which it can be once at most.
  bool Put(size_t order) { return Decide(order, kDone) == kUndecided; }
  // Whether it was done; if not, it never will be.
  bool IsDone(size_t order) { return Decide(order, kGivenUp) == kDone; }

 private:
  enum State { kUndecided, kDone, kGivenUp };

  // What it was before.
  State Decide(size_t order, State state) {
    State before = kUndecided;
    states_.at(order).compare_exchange_strong(before, state);
    return before;
  }

  std::array<std::atomic<State>, kOrders> states_{};
};

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<dunlin::Client> client =
      dunlin::Client::Connect(ClientOptionsOf(argc > 1 ? argv[1] : nullptr));
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  Orders orders;
  dunlin::TransactionProducerOptions options;
  options.checker = [&orders](const dunlin::OrphanedTransaction& orphan) {
    const size_t order = std::strtoul(orphan.message.body.c_str(), nullptr, 10);
    return orders.IsDone(order % kOrders) ? dunlin::Resolution::kCommit
                                          : dunlin::Resolution::kRollback;
  };
  absl::StatusOr<dunlin::TransactionProducer> producer = client->MakeTransactionProducer(options);
  if (!producer.ok()) {
    std::fprintf(stderr, "%s\n", producer.status().ToString().c_str());
    return 1;
  }
  dunlin::Message message;
  message.topic = argc > 2 ? argv[2] : "orders";
  for (size_t order = 0; order < kOrders; ++order) {
    message.body = std::to_string(order);
    absl::StatusOr<dunlin::Transaction> transaction = producer->Prepare(message);
    if (!transaction.ok()) {
      std::fprintf(stderr, "%s\n", transaction.status().ToString().c_str());
      return 1;
    }
    const bool done = orders.Put(order);
    const absl::Status ended = done ? transaction->Commit() : transaction->Rollback();
    // If that did not arrive, the broker asks, and the checker answers.
    std::printf("order %s: %s\n", message.body.c_str(), ended.ToString().c_str());
  }
}
