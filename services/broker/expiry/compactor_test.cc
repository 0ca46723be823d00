#include "services/broker/expiry/compactor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

// A store, a compacted topic with one queue, and the compactor, which tests step.
class CompactorTest : public ::testing::Test {
 protected:
  CompactorTest() {
    store_.Open();
    Load();
    TopicTable::TopicSpec spec;
    spec.name = "state";
    spec.queues = 1;
    spec.kinds = KindBit(1);
    spec.compacted = true;
    auto topic = topics_->CreateTopic(spec);
    EXPECT_TRUE(topic.ok()) << topic.status();
    queue_ = {(*topic)->id, 0};
  }
  ~CompactorTest() override { Unload(); }

  void Load() {
    auto loaded = TopicTable::Load(store_.log(), store_.dispatcher(), store_.state(),
                                   store_.clock(), TopicTable::Limits());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    topics_ = *std::move(loaded);
    compactor_ = std::make_unique<Compactor>(store_.log(), store_.dispatcher(), *topics_);
  }
  void Unload() {
    compactor_.reset();
    topics_.reset();
  }
  // As a kill leaves it, or with everything derived thrown away.
  void Restart(bool rebuild) {
    Unload();
    if (rebuild) {
      store_.Close();
      std::filesystem::remove_all(store_.state_directory());
    } else {
      store_.Crash();
    }
    store_.Open();
    Load();
  }

  void Put(const std::string& key, const std::string& value) {
    store_.Send(queue_, "", {key, "another key"}, "", value);
    newest_[key] = value;
  }
  void Step() {
    store_.Settle();
    EXPECT_OK(compactor_->Step());
    store_.Settle();
  }

  // Bodies in the order of the queue, each once it can be read.
  std::vector<std::string> Bodies() {
    std::vector<std::string> bodies;
    std::vector<store::IndexEntry> entries;
    const store::QueueBounds bounds = store_.dispatcher().queues().Bounds(queue_);
    EXPECT_OK(store_.dispatcher().queues().Read(queue_, bounds.min, SIZE_MAX, entries));
    for (const store::IndexEntry& entry : entries) {
      if (entry.length == 0) continue;
      auto record = store_.log().Read(entry.log_offset);
      EXPECT_TRUE(record.ok()) << record.status();
      std::string payload(record->payload());
      storage::v1::Delivery moved;
      if (record->header().kind == store::RecordKind::kDelivery) {
        EXPECT_TRUE(moved.ParseFromString(payload));
        EXPECT_NE(record->header().flags & store::kFlagKept, 0);
        payload = moved.message();
      }
      // Field 4 is the body, behind the topic's.
      const size_t body = payload.find("topic") + 5;
      bodies.push_back(payload.substr(body + 2, static_cast<size_t>(payload[body + 1])));
    }
    return bodies;
  }
  void ExpectNewestOnly() {
    std::vector<std::string> should;
    for (const auto& [key, value] : newest_) should.push_back(value);
    std::vector<std::string> is = Bodies();
    std::sort(should.begin(), should.end());
    std::sort(is.begin(), is.end());
    EXPECT_EQ(is, should);
  }

  store::StoreRig store_;
  std::unique_ptr<TopicTable> topics_;
  std::unique_ptr<Compactor> compactor_;
  QueueKey queue_;
  std::map<std::string, std::string> newest_;
};

TEST_F(CompactorTest, KeepsTheNewestOfEachKey) {
  Put("a", "1");
  Put("b", "2");
  Put("a", "3");
  Put("a", "4");
  Step();
  EXPECT_EQ(Bodies(), (std::vector<std::string>{"2", "4"}));
  Put("b", "5");
  Put("c", "6");
  store_.Settle();
  EXPECT_EQ(Bodies(), (std::vector<std::string>{"2", "4", "5", "6"}));
  Step();
  EXPECT_EQ(Bodies(), (std::vector<std::string>{"4", "5", "6"}));
  Step();
  EXPECT_EQ(Bodies(), (std::vector<std::string>{"4", "5", "6"}));
}

TEST_F(CompactorTest, LeavesOtherTopicsAlone) {
  const QueueKey other{TopicId(77), 0};
  store_.PutTopic(other.topic);
  for (int i = 0; i < 3; ++i) store_.Send(other, "", {"a"});
  Put("a", "1");
  Put("a", "2");
  Step();
  std::vector<store::IndexEntry> entries;
  ASSERT_OK(store_.dispatcher().queues().Read(other, QueueOffset(0), 10, entries));
  ASSERT_EQ(entries.size(), 3u);
  for (const store::IndexEntry& entry : entries) EXPECT_GT(entry.length, 0u);
  EXPECT_EQ(Bodies(), (std::vector<std::string>{"2"}));
}

TEST_F(CompactorTest, FindsWhatStandsFarBefore) {
  constexpr size_t kBatch = 65'536;  // that it goes through at a time
  Put("a", "old");
  for (size_t i = 0; i < kBatch; ++i) store_.Send(queue_, "", {"key" + std::to_string(i)});
  Put("a", "new");
  for (bool again : {false, true}) {
    SCOPED_TRACE(again);
    if (again) Restart(/*rebuild=*/false);
    Step();
    const std::vector<std::string> bodies = Bodies();
    EXPECT_EQ(bodies.size(), kBatch + 1);
    EXPECT_EQ(bodies.front(), "body");
    EXPECT_EQ(bodies.back(), "new");
  }
}

class RandomCompactionTest : public CompactorTest,
                             public ::testing::WithParamInterface<uint32_t> {};

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCompactionTest, ::testing::Values(1, 2, 3));

TEST_P(RandomCompactionTest, SurvivesCrashesRetentionAndRebuilds) {
  std::mt19937 random(GetParam());
  int number = 0;
  for (int round = 0; round < 12; ++round) {
    for (unsigned i = random() % 400; i > 0; --i) {
      Put("key" + std::to_string(random() % 60), std::to_string(number++));
    }
    // What is in no compacted topic fills the log.
    store_.Fill({TopicId(99), 0}, 60u << 10);
    if (random() % 3 != 0) Step();
    if (random() % 2 == 0) {
      store_.Settle();
      ASSERT_OK(store_.Expire(128u << 10));
    }
    if (random() % 3 == 0) Restart(/*rebuild=*/random() % 2 == 0);
  }
  Step();
  ExpectNewestOnly();
  ASSERT_OK(store_.Expire(128u << 10));
  ExpectNewestOnly();
  Restart(/*rebuild=*/true);
  ExpectNewestOnly();
}

}  // namespace
}  // namespace dunlin::broker
