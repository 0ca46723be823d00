#include "services/broker/lite/lite_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::minutes;
using ::testing::SizeIs;

class LiteTableTest : public ::testing::Test {
 protected:
  LiteTableTest() {
    rig_.Open();
    auto topics = TopicTable::Load(rig_.log(), rig_.dispatcher(), rig_.state(), rig_.clock(), {});
    EXPECT_OK(topics);
    topics_ = *std::move(topics);
    TopicTable::TopicSpec spec;
    spec.name = "parent";
    spec.queues = 1;
    spec.kinds = kLiteKinds;
    spec.lite_expiration = minutes(10);
    auto parent = topics_->CreateTopic(spec);
    EXPECT_OK(parent);
    parent_ = *parent;
    Load();
  }

  void Load(size_t limit = 3) {
    auto table =
        LiteTable::Load(rig_.dispatcher(), rig_.state(), *topics_, rig_.clock(), {.topics = limit});
    ASSERT_OK(table);
    table_ = *std::move(table);
  }
  // As a send that was stored.
  uint32_t Use(std::string_view name) {
    auto pin = table_->FindOrMake(*parent_, name);
    EXPECT_OK(pin);
    if (!pin.ok()) return 0;
    table_->Announced(**pin, parent_->lite_expiration);
    return (*pin)->queue.queue;
  }

  store::StoreRig rig_;
  std::unique_ptr<TopicTable> topics_;
  std::shared_ptr<const Topic> parent_;
  std::unique_ptr<LiteTable> table_;
};

TEST_F(LiteTableTest, ANameHasOneNumber) {
  const uint32_t a = Use("a");
  EXPECT_EQ(a, kFirstLiteQueue);
  EXPECT_EQ(Use("b"), a + 1);
  EXPECT_EQ(Use("a"), a);
  EXPECT_EQ(table_->Find(parent_->id, "b")->queue.queue, a + 1);
  EXPECT_EQ(table_->Find(QueueKey{parent_->id, a})->name, "a");
  EXPECT_FALSE(table_->Find(parent_->id, "c"));
  EXPECT_FALSE(table_->Find(TopicId(99), "a"));
  EXPECT_FALSE(table_->Find(QueueKey{TopicId(99), a}));
  EXPECT_EQ(table_->CountOf(parent_->id), 2u);
}

TEST_F(LiteTableTest, OneToWhichNothingWasAppendedIsGone) {
  { EXPECT_OK(table_->FindOrMake(*parent_, "a")); }
  EXPECT_EQ(table_->size(), 0u);
  {
    auto first = table_->FindOrMake(*parent_, "a");
    auto second = table_->FindOrMake(*parent_, "a");
    table_->Announced(**second, parent_->lite_expiration);
  }
  EXPECT_EQ(table_->size(), 1u);
}

TEST_F(LiteTableTest, ASendThatIsRefusedLeavesNothing) {
  { EXPECT_OK(table_->FindOrMake(*parent_, "a")); }
  auto refused = table_->FindOrMake(*parent_, "a");
  ASSERT_OK(refused);
  EXPECT_EQ((*refused)->queue.queue, kFirstLiteQueue);  // the number was given back
  rig_.clock().Advance(minutes(11));
  EXPECT_THAT(table_->TakeDue(10), SizeIs(0));  // nobody has to look at it
}

TEST_F(LiteTableTest, TooManyAreRefused) {
  for (const char* name : {"a", "b", "c"}) Use(name);
  EXPECT_EQ(CodeOf(table_->FindOrMake(*parent_, "d").status()),
            PublicCode::kLiteTopicQuotaExceeded);
  Use("a");
}

TEST_F(LiteTableTest, TheIdleAreNamedWhenTheirTimeHasCome) {
  Use("a");
  EXPECT_THAT(table_->TakeDue(10), SizeIs(0));
  rig_.clock().Advance(minutes(9));
  Use("a");
  rig_.clock().Advance(minutes(2));
  auto due = table_->TakeDue(10);
  ASSERT_THAT(due, SizeIs(1));  // to be looked at: it was used since
  table_->LookAgain(*due[0], FromUnixMillis(due[0]->used_ms) + minutes(10));
  EXPECT_THAT(table_->TakeDue(10), SizeIs(0));
  rig_.clock().Advance(minutes(9));
  EXPECT_THAT(table_->TakeDue(10), SizeIs(1));
}

TEST_F(LiteTableTest, NoneIsNamedRightAfterAStart) {
  rig_.PutLiteTopic({parent_->id, kFirstLiteQueue}, "a");
  rig_.Settle();
  rig_.clock().Advance(minutes(60));
  auto table = LiteTable::Load(rig_.dispatcher(), rig_.state(), *topics_, rig_.clock(),
                               {.grace = minutes(3)});
  ASSERT_OK(table);
  rig_.clock().Advance(minutes(2));
  EXPECT_THAT((*table)->TakeDue(10), SizeIs(0));
  rig_.clock().Advance(minutes(1));
  EXPECT_THAT((*table)->TakeDue(10), SizeIs(1));
}

TEST_F(LiteTableTest, WhatIsInUseIsNotRemoved) {
  const uint32_t number = Use("a");
  rig_.clock().Advance(minutes(11));
  auto due = table_->TakeDue(10);
  ASSERT_THAT(due, SizeIs(1));
  const int64_t used = due[0]->used_ms;
  {
    const LiteTable::Pin pin = table_->Find(parent_->id, "a");
    EXPECT_FALSE(table_->Remove(*due[0], used));
  }
  rig_.clock().Advance(minutes(1));
  Use("a");
  EXPECT_FALSE(table_->Remove(*due[0], used));
  EXPECT_TRUE(table_->Remove(*due[0], due[0]->used_ms));
  EXPECT_FALSE(table_->Remove(*due[0], due[0]->used_ms));
  EXPECT_FALSE(table_->Find(parent_->id, "a"));
  // The name may come again; its number does not, for a while.
  EXPECT_EQ(Use("a"), number + 1);
}

TEST_F(LiteTableTest, IsLoadedWithWhatTheLogSays) {
  const QueueKey queue{parent_->id, kFirstLiteQueue + 5};
  rig_.PutLiteTopic(queue, "a");
  rig_.Send(queue);
  rig_.Send(queue);
  rig_.PutLiteTopic({TopicId(99), kFirstLiteQueue + 6}, "of a parent that is gone");
  Group group;
  group.name = "group";
  group.retry_delays.emplace_back(1000);
  group.lite_bind_topic = "parent";
  auto created = topics_->CreateGroup(group);
  ASSERT_OK(created);
  rig_.PutLiteTopic({parent_->id, kFirstLiteQueue + 7}, "b");
  rig_.PutProgress((*created)->id, {parent_->id, kFirstLiteQueue + 7}, 9, {});
  rig_.Settle();
  Load();
  EXPECT_EQ(table_->size(), 2u);
  EXPECT_EQ(table_->Find(queue)->tail.next, QueueOffset(2));
  EXPECT_EQ(table_->Find(parent_->id, "b")->tail.next, QueueOffset(9));
  EXPECT_EQ(Use("c"), kFirstLiteQueue + 8);
}

TEST_F(LiteTableTest, TheNumberOfOneWhoseNameIsLostIsNotGivenAgain) {
  rig_.Send({parent_->id, kFirstLiteQueue + 5});
  rig_.Settle();
  Load();
  EXPECT_EQ(table_->size(), 0u);
  EXPECT_EQ(Use("a"), kFirstLiteQueue + 6);
}

TEST_F(LiteTableTest, OfTwoWithOneNameTheOlderGoes) {
  // The record that removes the first did not survive a crash.
  rig_.PutLiteTopic({parent_->id, kFirstLiteQueue}, "a");
  rig_.PutLiteTopic({parent_->id, kFirstLiteQueue + 1}, "a");
  rig_.Settle();
  Load();
  EXPECT_EQ(table_->size(), 2u);
  EXPECT_EQ(table_->Find(parent_->id, "a")->queue.queue, kFirstLiteQueue + 1);
  rig_.clock().Advance(minutes(1));
  bool removed = false;
  for (const auto& due : table_->TakeDue(10)) {
    if (due->replaced) removed = table_->Remove(*due, due->used_ms);
  }
  EXPECT_TRUE(removed);
  EXPECT_EQ(table_->Find(parent_->id, "a")->queue.queue, kFirstLiteQueue + 1);
}

TEST_F(LiteTableTest, GoesWithItsParent) {
  Use("a");
  LiteTable::Pin pin = table_->Find(parent_->id, "a");
  table_->DropParent(parent_->id);
  EXPECT_EQ(table_->size(), 0u);
  EXPECT_EQ(pin->name, "a");  // who has it may finish
}

}  // namespace
}  // namespace dunlin::broker
