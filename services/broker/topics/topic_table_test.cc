#include "services/broker/topics/topic_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "services/base/strong_int.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using ::testing::HasSubstr;

TEST(TopicTableTest, NewMessagesStandBehindTheCursorOfEveryGroup) {
  store::StoreRig rig;
  rig.Open();
  rig.PutTopic(TopicId(1));
  rig.PutTopic(TopicId(2));
  rig.PutGroup(GroupId(1));
  rig.PutGroup(GroupId(2));
  rig.Send({TopicId(1), 0});
  rig.Send({TopicId(1), 1});
  // As when the log was damaged where the messages stood that were delivered.
  rig.PutProgress(GroupId(1), {TopicId(1), 1}, 7, {5});
  rig.PutProgress(GroupId(2), {TopicId(1), 1}, 3, {});
  rig.PutProgress(GroupId(2), {TopicId(1), 100}, 9, {});
  rig.PutProgress(GroupId(2), {TopicId(3), 0}, 9, {});
  rig.DeleteTopic(TopicId(2));
  rig.Settle();
  auto table = TopicTable::Load(rig.log(), rig.dispatcher(), rig.state(), rig.clock(), {});
  ASSERT_OK(table);
  const auto topic = (*table)->FindTopic(TopicId(1));
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->tails[0]->next, QueueOffset(1));
  EXPECT_EQ(topic->tails[1]->next, QueueOffset(7));
  EXPECT_EQ(topic->tails[2]->next, QueueOffset(0));
}

TEST(TopicTableTest, ATableThatFollowsIsThatOfTheStateStore) {
  store::StoreRig rig;
  rig.Open();
  rig.PutTopic(TopicId(1));
  rig.PutTopic(TopicId(2));
  rig.PutGroup(GroupId(1));
  rig.Settle();
  auto table = TopicTable::Load(rig.log(), rig.dispatcher(), rig.state(), rig.clock(), {});
  ASSERT_OK(table);
  const std::string name = (*table)->FindTopic(TopicId(1))->name;
  // What was loaded is told once more, which changes nothing.
  ASSERT_OK((*table)->Follow(rig.state(), rig.dispatcher().TakeChangedConfig()));
  EXPECT_EQ((*table)->Topics().size(), 2u);

  rig.DeleteTopic(TopicId(1));
  rig.PutTopic(TopicId(3));
  rig.DeleteGroup(GroupId(1));
  rig.PutGroup(GroupId(2));
  rig.Settle();
  const store::Dispatcher::ChangedConfig changed = rig.dispatcher().TakeChangedConfig();
  EXPECT_THAT(changed.topics, ::testing::UnorderedElementsAre(TopicId(1), TopicId(3)));
  EXPECT_THAT(changed.groups, ::testing::UnorderedElementsAre(GroupId(1), GroupId(2)));
  ASSERT_OK((*table)->Follow(rig.state(), changed));
  EXPECT_EQ((*table)->FindTopic(TopicId(1)), nullptr);
  EXPECT_EQ((*table)->FindTopic("", name), nullptr);
  ASSERT_NE((*table)->FindTopic(TopicId(3)), nullptr);
  EXPECT_GT((*table)->FindTopic(TopicId(3))->queues(), 0u);
  EXPECT_EQ((*table)->FindGroup(GroupId(1)), nullptr);
  EXPECT_NE((*table)->FindGroup(GroupId(2)), nullptr);
  EXPECT_TRUE(rig.dispatcher().TakeChangedConfig().IsEmpty());

  store::Dispatcher::ChangedConfig all;
  all.all = true;
  ASSERT_OK((*table)->Follow(rig.state(), all));
  EXPECT_EQ((*table)->Topics().size(), 2u);
  EXPECT_EQ((*table)->Groups().size(), 1u);
}

TEST(TopicTableTest, ACompactedTopicKeepsByKeyAndStaysOne) {
  store::StoreRig rig;
  rig.Open();
  auto table = TopicTable::Load(rig.log(), rig.dispatcher(), rig.state(), rig.clock(), {});
  ASSERT_OK(table);
  TopicTable::TopicSpec spec;
  spec.name = "state";
  spec.kinds = KindBit(1);
  spec.compacted = true;
  spec.retention.max_age = std::chrono::hours(1);
  EXPECT_THAT((*table)->CreateTopic(spec),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no age, size")));
  spec.retention = {};
  ASSERT_OK((*table)->CreateTopic(spec));
  spec.retention.consumed = true;
  EXPECT_THAT((*table)->UpdateTopic(spec),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no age, size")));
  spec.retention = {};
  spec.compacted = false;
  EXPECT_THAT((*table)->UpdateTopic(spec),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stays so")));
  EXPECT_TRUE((*table)->FindTopic("", "state")->compacted);
}

TEST(TopicTableTest, TopicsAndGroupsAreBounded) {
  store::StoreRig rig;
  rig.Open();
  auto table = TopicTable::Load(rig.log(), rig.dispatcher(), rig.state(), rig.clock(), {2, 1});
  ASSERT_OK(table);
  TopicTable::TopicSpec spec;
  spec.kinds = KindBit(1);
  for (const char* name : {"a", "b"}) {
    spec.name = name;
    EXPECT_OK((*table)->CreateTopic(spec));
  }
  spec.name = "c";
  EXPECT_THAT((*table)->CreateTopic(spec),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("broker.max_topics")));
  EXPECT_OK((*table)->DeleteTopic("", "a"));
  EXPECT_OK((*table)->CreateTopic(spec));
  spec.description = "changed";
  EXPECT_OK((*table)->UpdateTopic(spec));
  Group group;
  group.retry_delays = {std::chrono::seconds(1)};
  group.name = "a";
  EXPECT_OK((*table)->CreateGroup(group));
  group.name = "b";
  EXPECT_THAT((*table)->CreateGroup(group),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("broker.max_groups")));
}

}  // namespace
}  // namespace dunlin::broker
