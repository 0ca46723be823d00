#include "services/broker/topics/topic_watchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Listener final : public TopicWatcher {
 public:
  void OnTopicChanged(std::string_view qualified_name) override {
    heard.emplace_back(qualified_name);
  }
  std::vector<std::string> heard;
};

TEST(TopicWatchersTest, EachHearsOfItsTopicsOnly) {
  TopicWatchers watchers(10);
  const auto one = std::make_shared<Listener>();
  const auto two = std::make_shared<Listener>();
  EXPECT_TRUE(watchers.Add("a", one));
  EXPECT_TRUE(watchers.Add("a", two));
  EXPECT_TRUE(watchers.Add("space/a", two));
  watchers.Tell("a");
  watchers.Tell("space/a");
  watchers.Tell("b");
  EXPECT_THAT(one->heard, ElementsAre("a"));
  EXPECT_THAT(two->heard, ElementsAre("a", "space/a"));
}

TEST(TopicWatchersTest, ATopicIsWatchedOnceAndNotAnyMoreOnceItIsRemoved) {
  TopicWatchers watchers(10);
  const auto listener = std::make_shared<Listener>();
  EXPECT_TRUE(watchers.Add("a", listener));
  EXPECT_TRUE(watchers.Add("a", listener));
  EXPECT_EQ(watchers.size(), 1u);
  watchers.Remove("a", *listener);
  watchers.Remove("a", *listener);
  watchers.Remove("b", *listener);
  EXPECT_EQ(watchers.size(), 0u);
  watchers.Tell("a");
  EXPECT_THAT(listener->heard, IsEmpty());
}

TEST(TopicWatchersTest, WatchesAreBounded) {
  TopicWatchers watchers(2);
  const auto listener = std::make_shared<Listener>();
  EXPECT_TRUE(watchers.Add("a", listener));
  EXPECT_TRUE(watchers.Add("b", listener));
  EXPECT_FALSE(watchers.Add("c", listener));
  EXPECT_TRUE(watchers.Add("a", listener));
  watchers.Remove("a", *listener);
  EXPECT_TRUE(watchers.Add("c", listener));
}

TEST(TopicWatchersTest, WhoIsGoneIsNotTold) {
  TopicWatchers watchers(10);
  auto listener = std::make_shared<Listener>();
  EXPECT_TRUE(watchers.Add("a", listener));
  listener.reset();
  watchers.Tell("a");
}

// Looks the topic up when it is told, as watchers do.
class Reader final : public TopicWatcher {
 public:
  explicit Reader(TopicTable& table) : table_(table) {}
  void OnTopicChanged(std::string_view qualified_name) override {
    const auto [name_space, name] = SplitQualifiedName(qualified_name);
    const auto topic = table_.FindTopic(name_space, name);
    queues.push_back(topic == nullptr ? 0 : topic->queues());
  }
  std::vector<uint32_t> queues;

 private:
  TopicTable& table_;
};

TEST(TopicWatchersTest, WhoLooksWhenToldFindsTheNewState) {
  store::StoreRig rig;
  rig.Open();
  auto loaded = TopicTable::Load(rig.log(), rig.dispatcher(), rig.state(), rig.clock(), {});
  ASSERT_OK(loaded);
  TopicTable& table = **loaded;
  const auto reader = std::make_shared<Reader>(table);
  ASSERT_TRUE(table.watchers().Add("space/t", reader));
  TopicTable::TopicSpec spec;
  spec.name_space = "space";
  spec.name = "t";
  spec.kinds = KindBit(1);
  spec.queues = 2;
  EXPECT_OK(table.CreateTopic(spec));
  spec.queues = 5;
  EXPECT_OK(table.UpdateTopic(spec));
  spec.queues = 1;
  EXPECT_OK(table.UpdateTopic(spec));
  EXPECT_OK(table.DeleteTopic("space", "t"));
  EXPECT_FALSE(table.DeleteTopic("space", "t").ok());
  EXPECT_THAT(reader->queues, ElementsAre(2, 5, 5, 0));
}

}  // namespace
}  // namespace dunlin::broker
