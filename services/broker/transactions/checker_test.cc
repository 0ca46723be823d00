// Transactions on a clock that jumps, in a broker that crashes, with producers that come and go:
// what was committed comes once, what was rolled back never, and producers are asked no more often
// than allowed.

#include "services/broker/transactions/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/transactions/lookup.h"
#include "services/broker/transactions/resolution.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kQueues = 4;

class FakeProducers final : public ProducerLink {
 public:
  absl::StatusOr<Outcome> Ask(const Topic& /*topic*/, const store::Transaction& half) override {
    if (outcome == Outcome::kAsked) asked.push_back(half.id);
    return outcome;
  }
  uint64_t Arrivals() const override { return arrivals; }

  Outcome outcome = Outcome::kAsked;
  uint64_t arrivals = 0;
  std::vector<LogOffset> asked;
};

// A store, its topic, and the checker, which tests step.
class Rig {
 public:
  Rig() {
    store.Open();
    Load();
    TopicTable::TopicSpec spec;
    spec.name = "transactional";
    spec.queues = kQueues;
    spec.kinds = KindBit(4);
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

  LogOffset Prepare(uint32_t queue = 0, milliseconds check = seconds(6)) {
    return store.Prepare({id, queue}, store.clock().Now() + check, "tag").id;
  }

  absl::Status End(LogOffset transaction, bool commit) {
    std::promise<absl::Status> promise;
    std::future<absl::Status> ended = promise.get_future();
    Resolve(store.log(), *lookup, {topics->FindTopic(id), transaction, commit},
            [promise = std::move(promise)](const absl::Status& status) mutable {
              promise.set_value(status);
            });
    return ended.get();
  }
  absl::Status CheckAgain(LogOffset transaction) {
    return CheckAgain(transaction, topics->FindTopic(id));
  }
  absl::Status CheckAgain(LogOffset transaction, std::shared_ptr<const Topic> of) {
    std::promise<absl::Status> promise;
    std::future<absl::Status> made = promise.get_future();
    Recheck(store.log(), *lookup, {std::move(of), transaction}, store.clock().Now(),
            [promise = std::move(promise)](const absl::Status& status) mutable {
              promise.set_value(status);
            });
    return made.get();
  }

  // Makes the checks that are due; everything in the log is in the view afterwards.
  void Step() {
    store.Settle();
    const auto rest = checker->Step();
    EXPECT_TRUE(rest.ok()) << rest.status();
    EXPECT_OK(store.log().FlushUpTo(store.log().end()));  // the checker does not wait
    store.Settle();
  }
  void StepAfter(milliseconds time) {
    store.clock().Advance(time);
    Step();
  }

  // What came to the queues since the last look: the transactions.
  std::vector<LogOffset> TakeDelivered() {
    std::vector<LogOffset> ids;
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      std::vector<store::IndexEntry> entries;
      const store::QueueBounds bounds = store.dispatcher().queues().Bounds({id, queue});
      if (bounds.max <= seen[queue]) continue;
      EXPECT_OK(store.dispatcher().queues().Read({id, queue}, seen[queue], 100'000, entries));
      seen[queue] = bounds.max;
      for (const store::IndexEntry& entry : entries) ids.push_back(IdOf(entry));
    }
    return ids;
  }

  store::TransactionIndex& Index() { return store.dispatcher().transactions(); }

  store::StoreRig store;
  std::unique_ptr<TopicTable> topics;
  std::unique_ptr<TransactionChecker> checker;
  std::unique_ptr<TransactionLookup> lookup;
  FakeProducers producers;
  TopicId id;
  std::array<QueueOffset, kQueues> seen{};

 private:
  void Load() {
    auto loaded = TopicTable::Load(store.log(), store.dispatcher(), store.state(), store.clock(),
                                   TopicTable::Limits());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    topics = *std::move(loaded);
    checker = std::make_unique<TransactionChecker>(store.log(), Index(), *topics, producers,
                                                   store.clock(), CheckPolicy());
    lookup = std::make_unique<TransactionLookup>(store.log(), store.dispatcher(), 100);
  }
  void Unload() {
    lookup.reset();
    checker.reset();
    topics.reset();
  }

  LogOffset IdOf(const store::IndexEntry& entry) {
    const auto record = store.log().Read(entry.log_offset);
    EXPECT_TRUE(record.ok()) << record.status();
    if (!record.ok()) return {};
    EXPECT_NE(record->header().flags & store::kFlagDue, 0);
    storage::v1::Delivery resolution;
    EXPECT_TRUE(resolution.ParseFromString(std::string(record->payload())));
    const uint64_t first = resolution.timer_id();
    return LogOffset(first != 0 ? first : resolution.origin_log_offset());
  }
};

TEST(CheckerTest, AsksAfterSixSecondsEveryThirtyFifteenTimesAndParksThen) {
  Rig rig;
  const LogOffset half = rig.Prepare();
  rig.StepAfter(milliseconds(5999));
  EXPECT_THAT(rig.producers.asked, IsEmpty());
  rig.StepAfter(milliseconds(1));
  EXPECT_THAT(rig.producers.asked, ElementsAre(half));
  for (size_t asked = 2; asked <= 15; ++asked) {
    rig.StepAfter(milliseconds(29'999));
    EXPECT_EQ(rig.producers.asked.size(), asked - 1);
    rig.StepAfter(milliseconds(1));
    EXPECT_EQ(rig.producers.asked.size(), asked);
    if (asked % 4 == 0) rig.Crash(/*checkpoint=*/asked % 8 == 0);
  }
  EXPECT_EQ(rig.Index().counts().parked, 0u);
  rig.StepAfter(seconds(30));
  EXPECT_EQ(rig.Index().counts().parked, 1u);
  rig.StepAfter(hours(24));
  EXPECT_EQ(rig.producers.asked.size(), 15u);
  EXPECT_THAT(rig.TakeDelivered(), IsEmpty());
  // Its producer may still say how it ended.
  EXPECT_OK(rig.End(half, /*commit=*/true));
  rig.Step();
  EXPECT_THAT(rig.TakeDelivered(), ElementsAre(half));
  EXPECT_EQ(rig.Index().counts().open, 0u);
}

TEST(CheckerTest, AParkedOneIsCheckedAgainWhenSomebodyAsksForIt) {
  Rig rig;
  const LogOffset half = rig.Prepare();
  for (int i = 0; i < 17; ++i) rig.StepAfter(seconds(30));
  EXPECT_EQ(rig.Index().counts().parked, 1u);
  rig.producers.asked.clear();
  auto other = std::make_shared<Topic>(*rig.topics->FindTopic(rig.id));
  other->id = TopicId(77);
  EXPECT_EQ(CodeOf(rig.CheckAgain(half, other)), PublicCode::kInvalidTransactionId);
  EXPECT_EQ(rig.Index().counts().parked, 1u) << "it stays as it was";
  EXPECT_OK(rig.CheckAgain(half));
  for (int i = 0; i < 17; ++i) {
    rig.Step();
    rig.store.clock().Advance(seconds(30));
  }
  EXPECT_EQ(rig.producers.asked.size(), 15u);
  EXPECT_EQ(rig.Index().counts().parked, 1u);
  EXPECT_OK(rig.End(half, /*commit=*/false));
  EXPECT_EQ(CodeOf(rig.CheckAgain(half)), PublicCode::kPreconditionFailed);
}

TEST(CheckerTest, WithoutAProducerNothingIsCountedNorWritten) {
  Rig rig;
  const LogOffset half = rig.Prepare();
  rig.producers.outcome = ProducerLink::Outcome::kNobody;
  rig.store.Settle();
  const LogOffset end = rig.store.log().end();
  for (int i = 0; i < 100; ++i) rig.StepAfter(seconds(30));
  EXPECT_EQ(rig.store.log().end(), end);
  EXPECT_EQ(rig.Index().Find(half)->checks, 0u);
  // One comes: it is asked without waiting for the interval.
  rig.producers.outcome = ProducerLink::Outcome::kAsked;
  ++rig.producers.arrivals;
  rig.StepAfter(seconds(1));
  EXPECT_THAT(rig.producers.asked, ElementsAre(half));
}

TEST(CheckerTest, BusyProducersAreAskedSoonAfter) {
  Rig rig;
  const LogOffset half = rig.Prepare();
  rig.producers.outcome = ProducerLink::Outcome::kBusy;
  rig.StepAfter(seconds(6));
  rig.producers.outcome = ProducerLink::Outcome::kAsked;
  rig.StepAfter(milliseconds(50));
  EXPECT_THAT(rig.producers.asked, ElementsAre(half));
  EXPECT_EQ(rig.Index().Find(half)->checks, 1u);
}

TEST(ResolveTest, SaysWhatHappened) {
  Rig rig;
  const LogOffset committed = rig.Prepare();
  const LogOffset rolled_back = rig.Prepare();
  for (int i = 0; i < 2; ++i) {  // the second time changes nothing
    EXPECT_OK(rig.End(committed, true));
    EXPECT_OK(rig.End(rolled_back, false));
  }
  EXPECT_EQ(CodeOf(rig.End(committed, false)), PublicCode::kPreconditionFailed);
  EXPECT_EQ(CodeOf(rig.End(rolled_back, true)), PublicCode::kPreconditionFailed);
  EXPECT_EQ(CodeOf(rig.End(rolled_back + 8, true)), PublicCode::kInvalidTransactionId);
  EXPECT_EQ(CodeOf(rig.End(LogOffset(uint64_t{1} << 40), true)), PublicCode::kInvalidTransactionId);
  rig.Step();
  EXPECT_THAT(rig.TakeDelivered(), ElementsAre(committed));
}

class ScenarioTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ScenarioTest, ::testing::Range(0u, 4u));

TEST_P(ScenarioTest, EachEndsOnceWhateverCrashes) {
  std::mt19937 random(GetParam());
  const auto below = [&](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  Rig rig;
  std::set<LogOffset> open;
  std::map<LogOffset, bool> ended;  // by its producer: committed?
  std::map<LogOffset, int> delivered;
  const auto end_one = [&](LogOffset half) {
    const bool commit = below(2) == 0;
    const absl::Status status = rig.End(half, commit);
    const auto before = ended.find(half);
    if (before == ended.end()) {
      EXPECT_OK(status);
      ended[half] = commit;
      open.erase(half);
    } else if (before->second == commit) {
      // Its message may have expired.
      EXPECT_TRUE(status.ok() || CodeOf(status) == PublicCode::kInvalidTransactionId) << status;
    } else {
      EXPECT_FALSE(status.ok());
    }
  };
  for (int round = 0; round < 40; ++round) {
    for (int i = below(40); i > 0; --i) {
      open.insert(rig.Prepare(static_cast<uint32_t>(below(kQueues)), seconds(below(60))));
    }
    rig.store.clock().Advance(seconds(below(40)));
    for (int i = below(20); i > 0 && !open.empty(); --i) {
      end_one(*std::next(open.begin(), below(static_cast<int>(open.size()))));
    }
    if (!ended.empty() && below(2) == 0) {
      end_one(std::next(ended.begin(), below(static_cast<int>(ended.size())))->first);
    }
    rig.producers.outcome = static_cast<ProducerLink::Outcome>(below(3));
    if (below(3) == 0) EXPECT_OK(rig.checker->Step());  // not all that was stored is indexed
    // Some of those that were asked say how it ended.
    for (const LogOffset half : std::exchange(rig.producers.asked, {})) {
      EXPECT_TRUE(open.contains(half) || ended.contains(half));
      if (below(2) == 0) end_one(half);
    }
    if (below(5) == 0) {
      rig.store.Fill({TopicId(77), 0}, 100u << 10);
      rig.store.Settle();
      EXPECT_OK(rig.store.Expire(256u << 10));
    }
    if (below(3) == 0) rig.Crash(/*checkpoint=*/below(2) == 0);
    rig.Step();
    for (const LogOffset half : rig.TakeDelivered()) ++delivered[half];
  }
  for (const LogOffset half : std::set<LogOffset>(open)) end_one(half);
  rig.Step();
  for (const LogOffset half : rig.TakeDelivered()) ++delivered[half];
  EXPECT_EQ(rig.Index().counts().open, 0u);
  for (const auto& [half, times] : delivered) {
    EXPECT_EQ(times, 1);
    EXPECT_TRUE(ended.at(half)) << "it was rolled back";
  }
  uint64_t committed = 0;
  for (const auto& [half, commit] : ended) committed += commit ? 1 : 0;
  EXPECT_EQ(delivered.size(), committed) << "some are lost";
}

}  // namespace
}  // namespace dunlin::broker
