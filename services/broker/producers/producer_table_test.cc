#include "services/broker/producers/producer_table.h"

#include <gtest/gtest.h>

#include <optional>

#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

constexpr uint64_t kProducer = 42;
constexpr QueueKey kQueue{TopicId(1), 0};

class ProducerTableTest : public ::testing::Test {
 protected:
  ProducerTableTest() { Open(); }
  void Open() {
    rig_.Open();
    table_.emplace(rig_.log(), rig_.dispatcher(), rig_.state());
  }
  void Run(uint64_t first_sequence, uint32_t count, uint32_t stored) {
    rig_.AnnounceProducer(kProducer, kQueue, first_sequence, count);
    for (uint32_t i = 0; i < stored; ++i) rig_.Send(kQueue);
  }
  uint64_t Last(uint64_t producer = kProducer, QueueKey queue = kQueue) {
    rig_.Settle();
    auto bound = table_->Bind(producer, queue);
    EXPECT_OK(bound);
    if (!bound.ok()) return 0;
    uint64_t last = 0;
    {
      MutexLock lock((*bound)->mutex);
      last = (*bound)->last_sequence;
    }
    table_->Unbind(producer, queue);
    return last;
  }

  store::StoreRig rig_;
  std::optional<ProducerTable> table_;
};

TEST_F(ProducerTableTest, KnowsNothingOfStrangers) {
  Run(1, 3, 3);
  EXPECT_EQ(Last(kProducer + 1), 0u);
  EXPECT_EQ(Last(kProducer, {TopicId(1), 1}), 0u);
  EXPECT_EQ(Last(), 3u);
}

TEST_F(ProducerTableTest, CountsWhatACrashLeftOfARun) {
  Run(1, 10, 10);
  Run(11, 5, 3);  // the crash took two
  rig_.Crash();
  table_.reset();
  Open();
  rig_.Send(kQueue);  // somebody else's
  rig_.Send(kQueue);
  EXPECT_EQ(Last(), 13u);
}

TEST_F(ProducerTableTest, ARunOfWhichNothingIsLeft) {
  Run(1, 10, 10);
  Run(11, 5, 0);
  rig_.Close();
  table_.reset();
  Open();
  rig_.Send(kQueue);
  EXPECT_EQ(Last(), 10u);
}

TEST_F(ProducerTableTest, SegmentsMayEndWithinARun) {
  rig_.AnnounceProducer(kProducer, kQueue, 1, 200);
  for (int i = 0; i < 200; ++i) {
    rig_.Send(kQueue, "", {}, "", std::string(1000, 'x'));  // three segments
  }
  EXPECT_EQ(Last(), 200u);
}

TEST_F(ProducerTableTest, ForgetsWithTheLog) {
  Run(1, 3, 3);
  rig_.Fill(kQueue, 200u << 10);
  rig_.Settle();
  ASSERT_OK(rig_.Expire(64u << 10));
  EXPECT_EQ(Last(), 0u);
}

TEST_F(ProducerTableTest, KeepsWhoIsBoundOrAheadOfTheView) {
  rig_.Settle();
  auto first = table_->Bind(kProducer, kQueue);
  auto second = table_->Bind(kProducer, kQueue);
  ASSERT_OK(first);
  EXPECT_EQ(*first, *second);
  table_->Unbind(kProducer, kQueue);
  EXPECT_EQ(table_->size(), 1u);
  const LogOffset dispatched = rig_.dispatcher().dispatched().Get();
  {
    MutexLock lock((*first)->mutex);
    (*first)->end = dispatched + 1;
  }
  table_->Unbind(kProducer, kQueue);
  EXPECT_EQ(table_->size(), 1u);
  rig_.Send(kQueue);
  rig_.Settle();
  table_->Unbind(kProducer, {TopicId(9), 9});
  EXPECT_EQ(table_->size(), 1u);
  EXPECT_OK(table_->Bind(kProducer + 1, kQueue));
  EXPECT_EQ(table_->size(), 1u);  // the other one has gone
}

}  // namespace
}  // namespace dunlin::broker
