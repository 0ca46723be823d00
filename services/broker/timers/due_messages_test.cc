// Delayed messages on a clock that jumps, in a broker that crashes: each comes once, none early.

#include "services/broker/timers/due_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/timers/recall.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr uint32_t kQueues = 4;

// A store, its topic, and the engine, which tests step.
class Rig {
 public:
  Rig() {
    store.Open();
    Load();
    TopicTable::TopicSpec spec;
    spec.name = "delayed";
    spec.queues = kQueues;
    spec.kinds = KindBit(3);
    auto topic = topics->CreateTopic(spec);
    EXPECT_TRUE(topic.ok()) << topic.status();
    id = (*topic)->id;
  }
  ~Rig() { Unload(); }

  void Crash(bool checkpoint) {
    if (checkpoint) EXPECT_OK(store.dispatcher().Checkpoint());
    Unload();
    store.Crash();
    store.Open();
    Load();
  }

  // Delivers what is due; everything in the log is in the view afterwards.
  void Step() {
    store.Settle();
    const auto rest = engine->Step();
    EXPECT_TRUE(rest.ok()) << rest.status();
    EXPECT_OK(store.log().FlushUpTo(store.log().end()));  // the engine does not wait
    store.Settle();
  }

  // What came to the queues since the last look: name of the timer, due time.
  std::vector<store::TimerKey> TakeDelivered() {
    std::vector<store::TimerKey> keys;
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      std::vector<store::IndexEntry> entries;
      const store::QueueBounds bounds = store.dispatcher().queues().Bounds({id, queue});
      if (bounds.max <= seen[queue]) continue;
      EXPECT_OK(store.dispatcher().queues().Read({id, queue}, seen[queue], 100'000, entries));
      seen[queue] = bounds.max;
      for (const store::IndexEntry& entry : entries) keys.push_back(KeyOf(entry));
    }
    return keys;
  }

  store::StoreRig store;
  std::unique_ptr<TopicTable> topics;
  std::unique_ptr<DueMessages> engine;
  TopicId id;
  std::array<QueueOffset, kQueues> seen{};

 private:
  void Load() {
    auto loaded = TopicTable::Load(store.log(), store.dispatcher(), store.state(), store.clock(),
                                   TopicTable::Limits());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    topics = *std::move(loaded);
    engine = std::make_unique<DueMessages>(store.log(), store.dispatcher().timers(), *topics,
                                           store.clock());
  }
  void Unload() {
    engine.reset();
    topics.reset();
  }

  store::TimerKey KeyOf(const store::IndexEntry& entry) {
    const auto record = store.log().Read(entry.log_offset);
    EXPECT_TRUE(record.ok()) << record.status();
    if (!record.ok()) return {};
    EXPECT_LE(record->bytes().size(), 128u);
    EXPECT_NE(record->header().flags & store::kFlagDue, 0);
    storage::v1::Delivery delivery;
    EXPECT_TRUE(delivery.ParseFromString(std::string(record->payload())));
    const uint64_t timer = delivery.timer_id();
    return {FromUnixMillis(delivery.due_ms()),
            LogOffset(timer != 0 ? timer : delivery.origin_log_offset())};
  }
};

TEST(DueMessagesTest, SleepsUntilTheNextIsDue) {
  Rig rig;
  auto rest = rig.engine->Step();
  ASSERT_TRUE(rest.ok());
  EXPECT_GT(rest->idle, seconds(1));
  rig.store.Park({rig.id, 0}, rig.store.clock().Now() + milliseconds(20));
  rig.store.Settle();
  rest = rig.engine->Step();
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->idle, milliseconds(20));
  EXPECT_EQ(rig.engine->delivered(), 0u);
  rig.store.clock().Advance(milliseconds(20));
  rig.Step();
  EXPECT_EQ(rig.engine->delivered(), 1u);
}

TEST(DueMessagesTest, KeepsTheOrderOfDueTimesInAQueue) {
  Rig rig;
  const Timestamp now = rig.store.clock().Now();
  std::vector<store::TimerKey> expected;
  for (int64_t i = 0; i < 50; ++i) rig.store.Park({rig.id, 0}, now + milliseconds(50 - i));
  rig.store.clock().Advance(milliseconds(50));
  rig.Step();
  const std::vector<store::TimerKey> delivered = rig.TakeDelivered();
  EXPECT_EQ(delivered.size(), 50u);
  EXPECT_TRUE(std::is_sorted(delivered.begin(), delivered.end()));
}

class ScenarioTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ScenarioTest, ::testing::Range(0u, 4u));

TEST_P(ScenarioTest, EachComesOnceAndNoneEarlyWhateverTheClockDoes) {
  std::mt19937 random(GetParam());
  const auto below = [&](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  Rig rig;
  std::set<store::TimerKey> pending;
  std::map<store::TimerKey, int> delivered;
  uint64_t recalled = 0;
  uint64_t early = 0;
  const auto look = [&] {
    for (const store::TimerKey& key : rig.TakeDelivered()) {
      early += key.due > rig.store.clock().Now() ? 1 : 0;
      ++delivered[key];
    }
  };
  for (int round = 0; round < 40; ++round) {
    for (int i = below(60); i > 0; --i) {
      const Timestamp due = rig.store.clock().Now() + milliseconds(below(3'600'000));
      const QueueKey queue{rig.id, static_cast<uint32_t>(below(kQueues))};
      pending.insert(rig.store.Park(queue, due, "tag").key);
    }
    rig.store.clock().Advance(seconds(below(120)));
    if (below(4) == 0) rig.store.clock().Advance(below(2) == 0 ? hours(1) : -hours(1));
    if (below(3) == 0) rig.store.Settle();
    if (below(3) == 0) EXPECT_OK(rig.engine->Step());  // not all that was stored is indexed
    if (below(4) == 0 && !pending.empty()) {
      auto key = std::next(pending.begin(), below(static_cast<int>(pending.size())));
      const absl::Status status = Recall(rig.store.log(), rig.store.dispatcher(), *key);
      if (status.ok()) {
        ++recalled;
        pending.erase(key);
      } else {
        EXPECT_EQ(CodeOf(status), PublicCode::kMessageNotFound) << status;
      }
    }
    if (below(5) == 0) {
      rig.store.Fill({TopicId(77), 0}, 100u << 10);
      rig.store.Settle();
      EXPECT_OK(rig.store.Expire(256u << 10));
    }
    if (below(3) == 0) rig.Crash(/*checkpoint=*/below(2) == 0);
    rig.Step();
    look();
  }
  rig.store.clock().Advance(hours(3));
  rig.Step();
  look();
  EXPECT_EQ(early, 0u);
  EXPECT_EQ(rig.store.dispatcher().timers().Pending(), 0u);
  EXPECT_GT(recalled, 0u);
  uint64_t duplicates = 0;
  for (const auto& [key, times] : delivered) {
    duplicates += static_cast<uint64_t>(times - 1);
    EXPECT_TRUE(pending.contains(key)) << "it was recalled, or never sent";
  }
  EXPECT_EQ(duplicates, 0u);
  EXPECT_EQ(delivered.size(), pending.size()) << "some are lost";
}

TEST(RecallTest, SaysWhatHappened) {
  Rig rig;
  const store::Timer timer =
      rig.store.Park({rig.id, 0}, rig.store.clock().Now() + milliseconds(20));
  EXPECT_EQ(CodeOf(Recall(rig.store.log(), rig.store.dispatcher(),
                          {timer.key.due, LogOffset(uint64_t{1} << 40)})),
            PublicCode::kBadRequest);
  EXPECT_EQ(CodeOf(Recall(rig.store.log(), rig.store.dispatcher(),
                          {timer.key.due + minutes(1), timer.key.id})),
            PublicCode::kMessageNotFound);
  EXPECT_OK(Recall(rig.store.log(), rig.store.dispatcher(), timer.key));
  EXPECT_OK(Recall(rig.store.log(), rig.store.dispatcher(), timer.key));
}

}  // namespace
}  // namespace dunlin::broker
