#include "services/broker/transactions/lookup.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/transaction_index.h"

namespace dunlin::broker {
namespace {

using store::Transaction;
using store::TransactionState;

constexpr QueueKey kQueue{TopicId(1), 0};

class LookupTest : public ::testing::Test {
 protected:
  LookupTest() {
    rig_.Open();
    lookup_.emplace(rig_.log(), rig_.dispatcher(), /*capacity=*/3);
  }
  ~LookupTest() override { lookup_.reset(); }

  using Answer = std::future<absl::StatusOr<Transaction>>;
  using Lookup = void (TransactionLookup::*)(LogOffset, TransactionLookup::Then);
  Answer Ask(Lookup how, LogOffset id) {
    std::promise<absl::StatusOr<Transaction>> promise;
    Answer answer = promise.get_future();
    ((*lookup_).*how)(id,
                      [promise = std::move(promise)](absl::StatusOr<Transaction> found) mutable {
                        promise.set_value(std::move(found));
                      });
    return answer;
  }
  Answer Take(LogOffset id) { return Ask(&TransactionLookup::Take, id); }
  Answer Find(LogOffset id) { return Ask(&TransactionLookup::Find, id); }

  Transaction Prepare() {
    return rig_.Prepare(kQueue, rig_.clock().Now() + std::chrono::seconds(6));
  }

  store::StoreRig rig_;
  std::optional<TransactionLookup> lookup_;
};

TEST_F(LookupTest, WhatWasJustStoredIsFound) {
  for (int i = 0; i < 100; ++i) {
    const Transaction half = Prepare();  // not yet in the index, perhaps
    EXPECT_OK(Find(half.id).get());
    EXPECT_EQ(Take(half.id).get()->state, TransactionState::kOpen);
  }
}

TEST_F(LookupTest, WhatThereIsNotIsTold) {
  const Transaction half = Prepare();
  EXPECT_EQ(CodeOf(Take(rig_.log().end()).get().status()), PublicCode::kInvalidTransactionId);
  EXPECT_EQ(CodeOf(Take(half.id + 8).get().status()), PublicCode::kInvalidTransactionId);
  EXPECT_EQ(CodeOf(Find(half.id + 8).get().status()), PublicCode::kInvalidTransactionId);
}

TEST_F(LookupTest, WhoWaitsHoldsUpNobody) {
  const Transaction taken = Prepare();
  const Transaction other = Prepare();
  const absl::StatusOr<Transaction> in_hand = Take(taken.id).get();
  ASSERT_OK(in_hand);
  Answer waiting = Take(taken.id);
  Answer waiting_too = Take(taken.id);
  EXPECT_OK(Find(taken.id).get());
  EXPECT_OK(Take(other.id).get());
  EXPECT_EQ(waiting.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  // Who gives it back lets the next one have it.
  lookup_->GiveBack(*in_hand);
  EXPECT_OK(waiting.get());
  // So does an end that is applied.
  rig_.Resolve(taken, TransactionState::kCommitted);
  EXPECT_EQ(waiting_too.get()->state, TransactionState::kCommitted);
}

TEST_F(LookupTest, WhoWaitsTooLongIsToldToComeAgain) {
  const Transaction half = Prepare();
  ASSERT_OK(Take(half.id).get());
  const absl::StatusOr<Transaction> again = Take(half.id).get();
  EXPECT_EQ(CodeOf(again.status()), PublicCode::kTooManyRequests);
}

TEST_F(LookupTest, SoManyMayWait) {
  const Transaction half = Prepare();
  ASSERT_OK(Take(half.id).get());
  std::vector<Answer> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Take(half.id));
  EXPECT_EQ(CodeOf(Take(half.id).get().status()), PublicCode::kTooManyRequests);
  // They hear of it when the broker stops; who comes later, too.
  lookup_->Stop();
  for (Answer& answer : waiting) {
    EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(Take(half.id).get().status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace dunlin::broker
