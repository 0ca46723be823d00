// What retention moves, while other things happen to it.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/gated_log.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/log/record.h"

namespace dunlin::store {
namespace {

constexpr QueueKey kKept{TopicId(1), 0};  // of a compacted topic
constexpr QueueKey kLetters{TopicId(2), 0};
constexpr QueueKey kOrigins{TopicId(3), 0};
constexpr QueueKey kFiller{TopicId(4), 0};
constexpr uint64_t kMessages = 10;
// Enough for a thread that nothing holds up; nothing here is right because of it.
constexpr std::chrono::milliseconds kLongEnough{50};

class RelocationTest : public ::testing::Test {
 protected:
  // Ten values, and ten dead letters, of which nothing but the letters stands behind begin_.
  RelocationTest() {
    rig_.WrapLog([this](std::unique_ptr<CommitLog> log) {
      auto gated = std::make_unique<GatedLog>(std::move(log));
      gate_ = gated.get();
      return gated;
    });
    rig_.Open();
    rig_.PutTopic(kKept.topic, /*compacted=*/true);
    for (uint64_t i = 0; i < kMessages; ++i) {
      rig_.Send(kKept, "", {"key" + std::to_string(i)}, "", Body(i));
      origins_.push_back(rig_.Send(kOrigins, "", {}, "", Body(i)));
    }
    late_ = rig_.Send(kOrigins, "", {}, "", "body 9");
    rig_.Fill(kFiller, 64u << 10);
    begin_ = LogOffset(64u << 10);
    for (const Appended& origin : origins_) {
      rig_.BuryLetter(GroupId(0), kOrigins, origin, kLetters);
    }
    rig_.Settle();
  }

  static std::string Body(uint64_t i) { return "body " + std::to_string(i); }

  // Has `remove` happen when `passing` messages have been moved, and the next is about to be.
  void MoveAnd(int passing, const std::vector<NewRecord>& remove) {
    gate_->Shut(passing);
    std::thread mover([this] { EXPECT_OK(rig_.dispatcher().MoveBefore(begin_)); });
    gate_->AwaitOne();
    std::future<absl::Status> removed = std::async(
        std::launch::async, [this, &remove] { return rig_.dispatcher().Remove(remove); });
    removed.wait_for(kLongEnough);
    gate_->Open();
    EXPECT_OK(removed.get());
    mover.join();
    rig_.Settle();
  }

  // As a broker makes a letter of late_.
  absl::Status BuryLate() {
    storage::v1::Delivery delivery;
    delivery.set_origin_log_offset(late_.log_offset.value());
    delivery.set_origin_topic_id(kOrigins.topic.value());
    const std::string bytes = delivery.SerializeAsString();
    const std::string_view payload = bytes;
    NewRecord record;
    record.kind = RecordKind::kDelivery;
    record.queue = kLetters;
    record.tail = rig_.TailOf(kLetters);
    record.payload = {&payload, 1};
    return rig_.dispatcher().AppendPointers({&record, 1}, late_.log_offset);
  }
  // The ten letters, and one of late_.
  static std::map<uint64_t, std::string> AllLetters() {
    std::map<uint64_t, std::string> expected;
    for (uint64_t i = 0; i < kMessages; ++i) expected[i] = Body(i);
    expected[kMessages] = "body 9";
    return expected;
  }

  // The bodies that a queue holds, by offset; all must be readable without what is below begin_.
  std::map<uint64_t, std::string> Held(QueueKey queue) {
    std::map<uint64_t, std::string> bodies;
    const QueueBounds bounds = rig_.dispatcher().queues().Bounds(queue);
    std::vector<IndexEntry> entries;
    EXPECT_OK(rig_.dispatcher().queues().Read(queue, bounds.min, 1000, entries));
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].length == 0) continue;
      EXPECT_GE(entries[i].log_offset, begin_);
      const absl::StatusOr<RecordView> record = rig_.log().Read(entries[i].log_offset);
      storage::v1::Delivery moved;
      EXPECT_TRUE(record.ok() && moved.ParseFromString(std::string(record->payload())));
      const size_t body = moved.message().find("body ");
      bodies[(bounds.min + i).value()] =
          body == std::string::npos ? "" : moved.message().substr(body, 6);
    }
    return bodies;
  }
  // Now, when the old log has gone, and when everything is made anew from the rest.
  void ExpectHeld(QueueKey queue, const std::map<uint64_t, std::string>& expected) {
    EXPECT_EQ(Held(queue), expected);
    ASSERT_OK(rig_.dispatcher().Snapshot());
    ASSERT_OK(rig_.log().DropBefore(begin_));
    EXPECT_EQ(Held(queue), expected);
    rig_.Close();
    std::filesystem::remove_all(rig_.state_directory());
    rig_.Open();
    EXPECT_EQ(Held(queue), expected);
  }

  GatedLog* gate_ = nullptr;
  StoreRig rig_;
  std::vector<Appended> origins_;
  Appended late_;  // without a letter
  LogOffset begin_;
};

TEST_F(RelocationTest, WhatIsSentMeanwhileIsDispatched) {
  gate_->Shut(0);
  std::thread mover([this] { EXPECT_OK(rig_.dispatcher().MoveBefore(begin_)); });
  gate_->AwaitOne();
  const uint64_t before = rig_.dispatcher().queues().Bounds(kFiller).max.value();
  rig_.Send(kFiller);
  rig_.Settle();  // never comes back when the dispatcher waits for what is moved
  EXPECT_EQ(rig_.dispatcher().queues().Bounds(kFiller).max.value(), before + 1);
  gate_->Open();
  mover.join();
}

TEST_F(RelocationTest, ALetterThatIsMadeMeanwhileIsMovedToo) {
  gate_->Shut(static_cast<int>(kMessages) + 1);
  std::thread mover([this] { EXPECT_OK(rig_.dispatcher().MoveBefore(begin_)); });
  gate_->AwaitOne();
  rig_.BuryLetter(GroupId(0), kOrigins, late_, kLetters);
  gate_->Open();
  mover.join();
  ExpectHeld(kLetters, AllLetters());
}

// While the checkpoint is made that comes before the end of the old log.
TEST_F(RelocationTest, ALetterThatIsMadeAfterTheLastLookIsMovedToo) {
  ASSERT_OK(rig_.dispatcher().MoveBefore(begin_));
  ASSERT_OK(BuryLate());
  ASSERT_OK(rig_.dispatcher().Snapshot());
  ASSERT_OK(rig_.dispatcher().DropBefore(begin_));
  EXPECT_EQ(rig_.log().start(), begin_);
  ExpectHeld(kLetters, AllLetters());
}

TEST_F(RelocationTest, NoLetterIsMadeOfWhatIsGoing) {
  ASSERT_OK(rig_.dispatcher().MoveBefore(begin_));
  ASSERT_OK(BuryLate());
  gate_->Shut(0);
  std::thread dropper([this] { EXPECT_OK(rig_.dispatcher().DropBefore(begin_)); });
  gate_->AwaitOne();
  std::future<absl::Status> another = std::async(std::launch::async, [this] { return BuryLate(); });
  another.wait_for(kLongEnough);
  gate_->Open();
  dropper.join();
  EXPECT_THAT(another.get(), StatusIs(absl::StatusCode::kNotFound));
  rig_.Settle();
  EXPECT_EQ(Held(kLetters), AllLetters());
}

// By how many messages have been moved when the others are taken away.
class InterleavedTest : public RelocationTest, public ::testing::WithParamInterface<int> {};

// The kept ones are moved first.
INSTANTIATE_TEST_SUITE_P(Moved, InterleavedTest, ::testing::Values(0, 1, 5, 9));

TEST_P(InterleavedTest, WhatIsTrimmedStaysAway) {
  NewRecord trim;
  trim.kind = RecordKind::kTrim;
  trim.queue = kLetters;
  trim.queue_offset = QueueOffset(6);
  MoveAnd(static_cast<int>(kMessages) + GetParam(), {trim});
  std::map<uint64_t, std::string> expected;
  for (uint64_t i = 6; i < kMessages; ++i) expected[i] = Body(i);
  ExpectHeld(kLetters, expected);
}

TEST_P(InterleavedTest, WhatIsCompactedAwayStaysAway) {
  storage::v1::Compaction compaction;
  std::map<uint64_t, std::string> expected;
  for (uint64_t i = 0; i < kMessages; ++i) {
    if (i % 2 == 0) {
      expected[i] = Body(i);
    } else {
      compaction.add_offset_deltas(i == 1 ? 1 : 2);
    }
  }
  const std::string bytes = compaction.SerializeAsString();
  const std::string_view payload = bytes;
  NewRecord record;
  record.kind = RecordKind::kCompaction;
  record.queue = kKept;
  record.payload = {&payload, 1};
  MoveAnd(GetParam(), {record});
  ExpectHeld(kKept, expected);
}

TEST_F(RelocationTest, WhatWasTakenAwayIsNotMoved) {
  NewRecord trim;
  trim.kind = RecordKind::kTrim;
  trim.queue = kLetters;
  trim.queue_offset = QueueOffset(8);
  ASSERT_OK(rig_.dispatcher().Remove({&trim, 1}));
  ASSERT_OK(rig_.dispatcher().MoveBefore(begin_));
  ExpectHeld(kLetters, {{8, Body(8)}, {9, Body(9)}});
}

TEST_F(RelocationTest, WhatIsTrimmedLaterIsMovedAndGoes) {
  ASSERT_OK(rig_.dispatcher().MoveBefore(begin_));
  NewRecord trim;
  trim.kind = RecordKind::kTrim;
  trim.queue = kLetters;
  trim.queue_offset = QueueOffset(9);
  NewRecord rest = trim;
  rest.queue_offset = QueueOffset(10);
  ASSERT_OK(rig_.dispatcher().Remove(std::vector<NewRecord>{trim}));
  EXPECT_EQ(Held(kLetters).size(), 1u);
  ASSERT_OK(rig_.dispatcher().Remove(std::vector<NewRecord>{trim, rest}));
  ExpectHeld(kLetters, {});
}

}  // namespace
}  // namespace dunlin::store
