#include "services/broker/expiry/topic_expiry.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr uint32_t kQueues = 2;

// A store, a topic with a retention of its own, a plain one, and the expiry, which tests step.
class TopicExpiryTest : public ::testing::Test {
 protected:
  TopicExpiryTest() { store_.Open(); }
  ~TopicExpiryTest() override {
    expiry_.reset();
    progress_.reset();
    topics_.reset();
  }

  void Start(const TopicRetention& retention) {
    auto loaded = TopicTable::Load(store_.log(), store_.dispatcher(), store_.state(),
                                   store_.clock(), TopicTable::Limits());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    topics_ = *std::move(loaded);
    progress_ = std::make_unique<Progress>(ProgressOptions(), store_.state(), store_.clock());
    expiry_ = std::make_unique<TopicExpiry>(TopicExpiry::Rooms{
        store_.dispatcher(), store_.state(), *topics_, *progress_, store_.clock()});
    own_ = Create("own", retention);
    plain_ = Create("plain", TopicRetention());
  }
  TopicId Create(const std::string& name, const TopicRetention& retention) {
    TopicTable::TopicSpec spec;
    spec.name = name;
    spec.queues = kQueues;
    spec.kinds = KindBit(1);
    spec.retention = retention;
    auto topic = topics_->CreateTopic(spec);
    EXPECT_TRUE(topic.ok()) << topic.status();
    return (*topic)->id;
  }
  GroupId CreateGroup(const std::string& name) {
    Group group;
    group.name = name;
    group.retry_delays = {std::chrono::seconds(1)};
    auto created = topics_->CreateGroup(group);
    EXPECT_TRUE(created.ok()) << created.status();
    return (*created)->id;
  }
  void Send(TopicId topic, uint32_t queue, int count) {
    for (int i = 0; i < count; ++i) store_.Send({topic, queue});
    store_.Settle();
  }
  // What the group has done, in the log as well.
  void Consume(GroupId group, QueueKey queue, uint64_t offset) {
    EXPECT_OK(progress_->SetOffset(group, queue, QueueOffset(offset)));
    store_.PutProgress(group, queue, offset, {});
    store_.Settle();
  }
  void Step() {
    EXPECT_OK(expiry_->Step());
    EXPECT_OK(store_.log().FlushUpTo(store_.log().end()));
    store_.Settle();
  }
  uint64_t First(TopicId topic, uint32_t queue) {
    return store_.dispatcher().queues().Bounds({topic, queue}).min.value();
  }

  store::StoreRig store_;
  std::unique_ptr<TopicTable> topics_;
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<TopicExpiry> expiry_;
  TopicId own_;
  TopicId plain_;
};

TEST_F(TopicExpiryTest, ByAge) {
  Start({.max_age = hours(1)});
  Send(own_, 0, 3);
  Send(plain_, 0, 3);
  store_.clock().Advance(minutes(40));
  Send(own_, 0, 2);
  Step();
  EXPECT_EQ(First(own_, 0), 0u);
  store_.clock().Advance(minutes(21));
  Step();
  EXPECT_EQ(First(own_, 0), 3u);
  EXPECT_EQ(First(own_, 1), 0u);
  EXPECT_EQ(First(plain_, 0), 0u);
  store_.clock().Advance(hours(1));
  Step();
  EXPECT_EQ(First(own_, 0), 5u);  // all of it
  Send(own_, 0, 1);
  EXPECT_EQ(First(own_, 0), 5u);
}

TEST_F(TopicExpiryTest, BySize) {
  Start({.max_queue_bytes = 10'000});
  const uint32_t length = [&] {
    Send(own_, 0, 1);
    std::vector<store::IndexEntry> entries;
    EXPECT_OK(store_.dispatcher().queues().Read({own_, 0}, QueueOffset(0), 1, entries));
    return entries.at(0).length;
  }();
  const uint64_t fit = 10'000 / length;
  for (uint64_t sent = 1; sent < 1000; sent += 100) {
    Step();
    EXPECT_EQ(First(own_, 0), sent > fit ? sent - fit : 0);
    Send(own_, 0, 100);
  }
  // Something else made the queue shorter meanwhile.
  store_.Trim({own_, 0}, 990);
  store_.Settle();
  Step();
  EXPECT_EQ(First(own_, 0), 990u);
  Send(own_, 0, 200);
  Step();
  EXPECT_EQ(First(own_, 0), 1201 - fit);
}

TEST_F(TopicExpiryTest, WhatAllGroupsAreDoneWith) {
  Start({.consumed = true});
  const GroupId one = CreateGroup("one");
  const GroupId other = CreateGroup("other");
  Send(own_, 0, 10);
  Send(own_, 1, 10);
  Step();
  EXPECT_EQ(First(own_, 0), 0u);  // nobody has come yet
  Consume(one, {own_, 0}, 7);
  Step();
  EXPECT_EQ(First(own_, 0), 7u);
  EXPECT_EQ(First(own_, 1), 0u);
  Consume(one, {own_, 0}, 9);
  Consume(other, {own_, 0}, 8);
  Step();
  EXPECT_EQ(First(own_, 0), 8u);
  Consume(other, {own_, 0}, 10);
  Step();
  EXPECT_EQ(First(own_, 0), 9u);
  // Who consumes from the topic holds also the queues that it has not reached yet.
  Consume(one, {own_, 1}, 5);
  Step();
  EXPECT_EQ(First(own_, 1), 0u);
  Consume(other, {own_, 1}, 4);
  Step();
  EXPECT_EQ(First(own_, 1), 4u);
}

TEST_F(TopicExpiryTest, ADiskIsFreedWhenNobodyNeedsASegment) {
  Start({.consumed = true});
  const GroupId group = CreateGroup("group");
  store_.Fill({own_, 0}, 300u << 10);
  store_.Settle();
  const uint64_t all = store_.dispatcher().queues().Bounds({own_, 0}).max.value();
  Consume(group, {own_, 0}, all / 2);
  Step();
  const LogOffset before = store_.log().start();
  ASSERT_OK(store_.Expire(0));  // no limit
  const LogOffset half = store_.log().start();
  EXPECT_GT(half, before);
  EXPECT_LT(half, before + (200u << 10));
  EXPECT_EQ(First(own_, 0), all / 2);
  Send(plain_, 0, 1);
  store_.Fill({own_, 0}, 300u << 10);
  store_.Settle();
  Consume(group, {own_, 0}, store_.dispatcher().queues().Bounds({own_, 0}).max.value());
  Step();
  ASSERT_OK(store_.Expire(0));
  // Up to the segment of the one message that is not consumed.
  EXPECT_GT(store_.log().start(), half);
  EXPECT_EQ(First(plain_, 0), 0u);
  std::vector<store::IndexEntry> entries;
  ASSERT_OK(store_.dispatcher().queues().Read({plain_, 0}, QueueOffset(0), 1, entries));
  EXPECT_OK(store_.log().Read(entries.at(0).log_offset));
  EXPECT_LT(entries.at(0).log_offset, store_.log().start() + (64u << 10));
}

}  // namespace
}  // namespace dunlin::broker
