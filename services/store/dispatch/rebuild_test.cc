// "Every derived structure can be rebuilt from the log": whatever happened to RocksDB, what the
// dispatcher serves afterwards is what it served before.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/tag_hash.h"
#include "services/store/index/timer.h"
#include "services/store/index/transaction.h"
#include "services/store/state/database.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

namespace fs = std::filesystem;

using Words = std::map<std::string, std::string>;

constexpr TopicId kTopic(1);
constexpr TopicId kDoomed(2);   // is deleted and made again now and then
constexpr TopicId kLetters(3);  // dead letters
constexpr uint32_t kQueues = 3;
constexpr int kLiteTopics = 6;

// Empty when equal; else what differs.
std::string Difference(const Words& is, const Words& should) {
  std::string difference;
  auto add = [&](const std::string& name) {
    const auto left = is.find(name);
    const auto right = should.find(name);
    const std::string a = left == is.end() ? "nothing" : left->second;
    const std::string b = right == should.end() ? "nothing" : right->second;
    if (a != b) difference += name + ": is " + a + ", should be " + b + "\n";
  };
  for (const auto& [name, value] : is) add(name);
  for (const auto& [name, value] : should) {
    if (!is.contains(name)) add(name);
  }
  return difference.substr(0, 2000);
}

// Random operations, and the dumb twin of what the view must say about messages.
class Workload {
 public:
  Workload(StoreRig& rig, uint32_t seed) : rig_(rig), random_(seed) {}

  void Run(int operations) {
    for (int i = 0; i < operations; ++i) Step();
    rig_.Settle();
  }

  static std::vector<QueueKey> Queues() {
    std::vector<QueueKey> queues = {{kLetters, 0}};
    for (int i = 0; i < kLiteTopics; ++i) queues.push_back(LiteQueue(i));
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      queues.push_back({kTopic, queue});
      queues.push_back({kDoomed, queue});
    }
    return queues;
  }
  static std::vector<std::string> Keys() { return {"a", "b", "c"}; }

  // The twin's half of the description.
  void ExpectMessages(const Words& words) const {
    for (const auto& [name, places] : places_) {
      ASSERT_TRUE(words.contains(name)) << name;
      EXPECT_EQ(words.at(name), places) << name;
    }
  }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  QueueKey AnyQueue(TopicId topic) { return {topic, static_cast<uint32_t>(Below(kQueues))}; }

  void Step() {
    const int dice = Below(100);
    if (dice < 70) {
      SendOne();
    } else if (dice < 85) {
      const QueueKey queue = AnyQueue(kTopic);
      std::vector<uint64_t> in_flight;
      for (int i = Below(5); i > 0; --i) in_flight.push_back(static_cast<uint64_t>(Below(500)));
      std::sort(in_flight.begin(), in_flight.end());
      in_flight.erase(std::unique(in_flight.begin(), in_flight.end()), in_flight.end());
      rig_.PutProgress(GroupId(static_cast<uint32_t>(1 + Below(3))), queue,
                       static_cast<uint64_t>(Below(500)), in_flight);
    } else if (dice < 91 && !sent_.empty()) {
      const auto& [queue, message] =
          sent_[static_cast<size_t>(Below(static_cast<int>(sent_.size())))];
      rig_.BuryLetter(GroupId(static_cast<uint32_t>(Below(3))), queue, message, {kLetters, 0});
    } else if (dice < 92) {
      ChangeUsers();
    } else if (dice < 94) {
      ChangeTimers();
      ChangeTransactions();
      ChangeLiteTopics();
    } else if (dice < 95) {
      rig_.PutTopic(TopicId(static_cast<uint32_t>(1 + Below(6))));
    } else if (dice < 97) {
      rig_.PutGroup(GroupId(static_cast<uint32_t>(1 + Below(6))));
    } else if (dice < 98) {
      rig_.DeleteGroup(GroupId(static_cast<uint32_t>(1 + Below(6))));
    } else if (dice < 99) {
      rig_.DeleteTopic(TopicId(static_cast<uint32_t>(4 + Below(3))));
    } else {
      rig_.DeleteTopic(kDoomed);
    }
  }

  void ChangeUsers() {
    for (int i = Below(4); i > 0; --i) {
      const std::string name = "user-" + std::to_string(Below(5));
      if (Below(3) == 0) {
        rig_.DeleteUser(name);
      } else {
        rig_.PutUser(name, "secret-" + std::to_string(Below(1000)));
      }
    }
  }

  static QueueKey LiteQueue(int i) { return {kTopic, kFirstLiteQueue + static_cast<uint32_t>(i)}; }

  // Makes some, whose numbers may have been another one's before; sends to some; removes some.
  void ChangeLiteTopics() {
    for (int i = Below(8); i > 0; --i) {
      const QueueKey queue = LiteQueue(Below(kLiteTopics));
      const GroupId group(static_cast<uint32_t>(1 + Below(3)));
      if (!lite_.contains(queue)) rig_.PutLiteTopic(queue, "lite-" + std::to_string(++lite_names_));
      lite_.insert(queue);
      rig_.Send(queue, "lite", {Keys()[static_cast<size_t>(Below(3))]});
      if (Below(2) == 0) rig_.PutProgress(group, queue, 1, {0});
      if (Below(3) > 0) continue;
      rig_.RemoveLiteTopic(queue, {GroupId(1), GroupId(2), GroupId(3)});
      lite_.erase(queue);
    }
  }

  // Parks some messages, ends some.
  void ChangeTimers() {
    for (int i = Below(8); i > 0; --i) {
      const Timestamp due = rig_.clock().Now() + std::chrono::milliseconds(Below(100));
      parked_.push_back(rig_.Park(AnyQueue(kTopic), due, i % 2 == 0 ? "even" : "odd",
                                  {Keys()[static_cast<size_t>(Below(3))]}));
    }
    for (int i = Below(7); i > 0 && !parked_.empty(); --i) {
      std::swap(parked_[static_cast<size_t>(Below(static_cast<int>(parked_.size())))],
                parked_.back());
      const Timer timer = parked_.back();
      parked_.pop_back();
      if (Below(3) == 0) {
        rig_.RecallTimer(timer.key);
      } else {
        rig_.DeliverTimer(timer);
      }
    }
  }

  // Prepares some, checks some, ends some.
  void ChangeTransactions() {
    for (int i = Below(8); i > 0; --i) {
      const Timestamp check = rig_.clock().Now() + std::chrono::milliseconds(Below(100));
      halves_.push_back(rig_.Prepare(AnyQueue(Below(6) == 0 ? kDoomed : kTopic), check,
                                     i % 2 == 0 ? "even" : "odd",
                                     {Keys()[static_cast<size_t>(Below(3))]}));
    }
    for (int i = Below(7); i > 0 && !halves_.empty(); --i) {
      std::swap(halves_[static_cast<size_t>(Below(static_cast<int>(halves_.size())))],
                halves_.back());
      // Whoever ends a transaction takes it first: retention may have moved it.
      rig_.Settle();
      const auto half = rig_.dispatcher().transactions().Find(halves_.back().id);
      const int dice = Below(4);
      if (half.ok() && dice < 2) {
        Transaction checked = *half;
        ++checked.checks;
        checked.next_check.reset();
        if (dice == 0) checked.next_check = rig_.clock().Now() + std::chrono::seconds(30);
        rig_.CheckTransaction(checked);
        continue;
      }
      halves_.pop_back();
      if (!half.ok()) continue;  // its topic was deleted
      rig_.Resolve(*half, dice == 2 ? TransactionState::kCommitted : TransactionState::kRolledBack);
    }
  }

  void SendOne() {
    if (Below(10) == 0) {
      rig_.Send(AnyQueue(kDoomed), "doomed", {Keys()[static_cast<size_t>(Below(3))]});
      return;
    }
    const QueueKey queue = AnyQueue(kTopic);
    if (Below(5) == 0) {
      rig_.AnnounceProducer(static_cast<uint64_t>(1 + Below(3)), queue, ++sequence_, 1);
    }
    const std::string tag = Below(2) == 0 ? "" : "tag" + std::to_string(Below(4));
    const Appended message =
        rig_.Send(queue, tag, {}, "", std::string(static_cast<size_t>(Below(400)), 'x'));
    sent_.emplace_back(queue, message);
    const uint32_t length = rig_.log().Read(message.log_offset)->header().length;
    places_["queue 1 " + std::to_string(queue.queue) + " entry " +
            std::to_string(message.queue_offset.value())] =
        "at " + std::to_string(message.log_offset.value()) + ", " + std::to_string(length) +
        " bytes, tag " + std::to_string(TagHash(tag));
  }

  std::vector<Timer> parked_;
  std::vector<Transaction> halves_;
  std::set<QueueKey> lite_;
  int lite_names_ = 0;
  StoreRig& rig_;
  std::mt19937 random_;
  uint64_t sequence_ = 0;
  std::vector<std::pair<QueueKey, Appended>> sent_;
  Words places_;
};

class RebuildTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  Words Describe() {
    auto words = rig_.Describe(Workload::Queues(), Workload::Keys());
    EXPECT_OK(words);
    return words.value_or(Words());
  }
  void RemoveState() { fs::remove_all(rig_.state_directory()); }

  StoreRig rig_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, RebuildTest, ::testing::Values(1, 2, 3));

TEST_P(RebuildTest, AnyRestartIsAsIfItHadNeverStopped) {
  std::mt19937 random(GetParam());
  rig_.Open();
  Workload workload(rig_, GetParam());
  for (int round = 0; round < 8; ++round) {
    workload.Run(150);
    const Words before = Describe();
    workload.ExpectMessages(before);
    switch (random() % 5) {
      case 0:  // a clean stop
        rig_.Close();
        break;
      case 1:  // a kill
        rig_.Crash();
        break;
      case 2:  // a kill right after a checkpoint
        ASSERT_OK(rig_.dispatcher().Checkpoint());
        rig_.Crash();
        break;
      case 3:  // a kill some way behind one
        ASSERT_OK(rig_.dispatcher().Checkpoint());
        workload.Run(40);
        rig_.Crash();
        rig_.Open();
        continue;
      default:  // RocksDB is gone
        rig_.Close();
        RemoveState();
        break;
    }
    rig_.Open();
    ASSERT_EQ(Difference(Describe(), before), "") << "round " << round;
  }
}

TEST_P(RebuildTest, WhatRetentionLeavesIsEnough) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  LogOffset start;
  for (int round = 0; round < 4; ++round) {
    workload.Run(1200);
    ASSERT_OK(rig_.Expire(128u << 10));
    EXPECT_GT(rig_.log().start(), start);
    start = rig_.log().start();
    workload.Run(50);
    const Words before = Describe();
    rig_.Close();
    RemoveState();
    rig_.Open();
    ASSERT_EQ(Difference(Describe(), before), "") << "round " << round;
  }
}

TEST_P(RebuildTest, ACompletedRebuildIsKept) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  workload.Run(300);
  const Words before = Describe();
  rig_.Close();
  RemoveState();
  rig_.Open();
  rig_.Close();
  rig_.Open();
  EXPECT_FALSE(rig_.state().GetCheckpoint().rebuilding());
  EXPECT_EQ(Difference(Describe(), before), "");
}

TEST_P(RebuildTest, WhatIsTrimmedStaysTrimmed) {
  std::mt19937 random(GetParam());
  rig_.Open();
  Workload workload(rig_, GetParam());
  for (int round = 0; round < 6; ++round) {
    workload.Run(400);
    for (const QueueKey queue : Workload::Queues()) {
      const QueueBounds bounds = rig_.dispatcher().queues().Bounds(queue);
      const uint64_t held = bounds.max - bounds.min;
      rig_.Trim(queue, bounds.min.value() + random() % (held + 2));
    }
    rig_.Settle();
    if (round % 2 == 1) {
      ASSERT_OK(rig_.Expire(256u << 10));
    }
    if (round % 3 == 2) workload.Run(50);
    const Words before = Describe();
    if (random() % 3 == 0) {
      rig_.Crash();
    } else {
      rig_.Close();
      if (random() % 2 == 0) RemoveState();
    }
    rig_.Open();
    ASSERT_EQ(Difference(Describe(), before), "") << "round " << round;
  }
}

class DamageTest : public RebuildTest {
 protected:
  static void FlipBit(const fs::path& path, uint64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get() ^ 0x04);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
    ASSERT_TRUE(file.good()) << path;
  }

  // Opens a store whose RocksDB was tampered with: it must say what it said before, or that it is
  // damaged, and then say it after a restart.
  void ExpectSameAnswers(const Words& before) {
    rig_.Open();
    auto words = rig_.Describe(Workload::Queues(), Workload::Keys());
    if (!words.ok()) {
      EXPECT_THAT(words, StatusIs(absl::StatusCode::kDataLoss));
      EXPECT_THAT(rig_.dispatcher().health(), StatusIs(absl::StatusCode::kDataLoss));
      rig_.Abandon();
      rig_.Open();
      words = rig_.Describe(Workload::Queues(), Workload::Keys());
    }
    ASSERT_OK(words);
    EXPECT_EQ(Difference(*words, before), "");
  }
};

INSTANTIATE_TEST_SUITE_P(Seed, DamageTest, ::testing::Values(7));

TEST_P(DamageTest, AFlippedBitAnywhereIsFoundOrHarmless) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  for (int part = 0; part < 3; ++part) {
    workload.Run(400);
    ASSERT_OK(rig_.dispatcher().Checkpoint());
  }
  const Words before = Describe();
  rig_.Close();
  const fs::path good = rig_.directory() + "/good";
  fs::copy(rig_.state_directory(), good, fs::copy_options::recursive);
  std::mt19937 random(GetParam());
  int flips = 0;
  for (const auto& entry : fs::directory_iterator(good)) {
    const uint64_t size = fs::file_size(entry.path());
    for (int flip = 0; flip < 2 && size > 0; ++flip, ++flips) {
      RemoveState();
      fs::copy(good, rig_.state_directory(), fs::copy_options::recursive);
      const uint64_t at = random() % size;
      SCOPED_TRACE(entry.path().filename().string() + " at " + std::to_string(at));
      FlipBit(rig_.state_directory() / entry.path().filename(), at);
      ExpectSameAnswers(before);
      rig_.Abandon();
    }
  }
  EXPECT_GT(flips, 20);
}

TEST_P(DamageTest, AMissingFileIsFoundOrHarmless) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  workload.Run(400);
  const Words before = Describe();
  rig_.Close();
  const fs::path good = rig_.directory() + "/good";
  fs::copy(rig_.state_directory(), good, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(good)) {
    SCOPED_TRACE(entry.path().filename().string());
    RemoveState();
    fs::copy(good, rig_.state_directory(), fs::copy_options::recursive);
    fs::remove(rig_.state_directory() / entry.path().filename());
    ExpectSameAnswers(before);
    rig_.Abandon();
  }
}

TEST_P(DamageTest, AViewAheadOfTheLogIsRebuilt) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  workload.Run(300);
  const Words before = Describe();
  rig_.Close();
  const fs::path log = rig_.directory() + "/before";
  fs::create_directory(log);
  for (const char* name : {"log", "epochs", "control"}) {
    const fs::path from = fs::path(rig_.directory()) / name;
    if (fs::exists(from)) fs::copy(from, log / name, fs::copy_options::recursive);
  }
  rig_.Open();
  workload.Run(300);
  rig_.Close();
  // The log as it was, the view as it became.
  for (const auto& entry : fs::directory_iterator(log)) {
    const fs::path to = fs::path(rig_.directory()) / entry.path().filename();
    fs::remove_all(to);
    fs::copy(entry.path(), to, fs::copy_options::recursive);
  }
  rig_.Open();
  EXPECT_EQ(Difference(Describe(), before), "");
  // The new log grows past the old view's checkpoint, and the process is killed before it has made
  // one of its own: the old view must not come back.
  rig_.Fill({kLetters, 1}, 256u << 10);
  rig_.Settle();
  const Words later = Describe();
  rig_.Crash();
  rig_.Open();
  EXPECT_EQ(Difference(Describe(), later), "");
}

TEST_P(DamageTest, AnotherFormatOrAnInterruptedRebuildBeginsAgain) {
  rig_.Open();
  Workload workload(rig_, GetParam());
  workload.Run(200);
  const Words before = Describe();
  for (bool format : {true, false}) {
    rig_.StopDispatcher();
    {
      auto database = Database::Open(rig_.state_directory());
      ASSERT_OK(database);
      storage::v1::Checkpoint checkpoint;
      auto row = (*database)->Get(Family::kMeta, kCheckpointKey);
      ASSERT_OK(row);
      ASSERT_TRUE(row->has_value());
      ASSERT_TRUE(checkpoint.ParseFromString(**row));
      if (format) {
        checkpoint.set_format_version(kFormatVersion + 1);
      } else {
        checkpoint.set_rebuilding(true);
      }
      rocksdb::WriteBatch batch;
      batch.Put((*database)->handle(Family::kMeta), std::string(kCheckpointKey),
                checkpoint.SerializeAsString());
      batch.Put((*database)->handle(Family::kProgress), "bogus", "row");
      ASSERT_OK((*database)->Write(batch));
      ASSERT_OK((*database)->Flush(/*wait=*/true));
    }
    ASSERT_OK(rig_.StartDispatcher());
    EXPECT_EQ(Difference(Describe(), before), "");
  }
}

class DeadLetterTest : public ::testing::Test {
 protected:
  // Where the first dead letter stands now.
  RecordView Letter() {
    const QueueIndex& queues = rig_.dispatcher().queues();
    std::vector<IndexEntry> entries;
    EXPECT_OK(queues.Read(kLetterQueue, queues.Bounds(kLetterQueue).min, 1, entries));
    EXPECT_EQ(entries.size(), 1u);
    if (entries.empty()) return {};
    EXPECT_EQ(entries[0].tag_hash, TagHash("precious"));
    auto record = rig_.log().Read(entries[0].log_offset);
    EXPECT_OK(record);
    return record.value_or(RecordView());
  }

  static constexpr QueueKey kLetterQueue{kLetters, 0};
  static constexpr QueueKey kQueue{kTopic, 0};
  StoreRig rig_;
};

TEST_F(DeadLetterTest, OutlivesTheSegmentOfItsMessage) {
  rig_.Open();
  const Appended message = rig_.Send(kQueue, "precious", {"k"}, "id", "content");
  const TestMessage expected = MakeMessage("content", "precious", {"k"}, "id");
  rig_.Fill(kQueue, 70u << 10);
  rig_.BuryLetter(GroupId(0), kQueue, message, kLetterQueue);
  rig_.Fill(kQueue, 100u << 10);
  rig_.Settle();
  // The segment made ahead of need counts too, so it must be there before what is held is counted.
  std::vector<CommitLog::SegmentInfo> segments = rig_.log().Segments();
  while (segments.back().begin < rig_.log().end()) segments = rig_.log().Segments();
  uint64_t held = 0;
  for (const auto& segment : segments) held += segment.bytes_on_disk;
  ASSERT_OK(rig_.Expire(held - 1));  // the first segment is one too many
  ASSERT_EQ(rig_.log().start(), segments[1].begin);
  ASSERT_GT(rig_.log().start(), message.log_offset);
  for (bool rebuilt : {false, true}) {
    SCOPED_TRACE(rebuilt);
    if (rebuilt) {
      rig_.Close();
      fs::remove_all(rig_.state_directory());
      rig_.Open();
    }
    const RecordView letter = Letter();
    EXPECT_NE(letter.header().flags & kFlagRelocated, 0);
    storage::v1::Delivery delivery;
    ASSERT_TRUE(delivery.ParseFromString(std::string(letter.payload())));
    EXPECT_EQ(delivery.message(), expected.payload);
    EXPECT_EQ(delivery.properties_offset(), expected.properties_offset);
    EXPECT_EQ(delivery.stored_ms(), ToUnixMillis(message.store_time));
    EXPECT_EQ(delivery.attempts(), 3u);
  }
}

TEST_F(DeadLetterTest, IsMovedOnceOnly) {
  rig_.Open();
  const Appended message = rig_.Send(kQueue, "precious");
  rig_.Fill(kQueue, 150u << 10);
  rig_.BuryLetter(GroupId(0), kQueue, message, kLetterQueue);
  rig_.Fill(kQueue, 100u << 10);
  rig_.Settle();
  ASSERT_OK(rig_.dispatcher().MoveBefore(LogOffset(64u << 10)));
  const LogOffset letter = Letter().header().log_offset;
  const LogOffset end = rig_.log().end();
  ASSERT_OK(rig_.dispatcher().MoveBefore(LogOffset(64u << 10)));
  EXPECT_EQ(rig_.log().end(), end);
  ASSERT_OK(rig_.log().DropBefore(LogOffset(64u << 10)));
  ASSERT_OK(rig_.dispatcher().MoveBefore(LogOffset(128u << 10)));
  EXPECT_EQ(rig_.log().end(), end);
  EXPECT_EQ(Letter().header().log_offset, letter);
}

TEST_F(DeadLetterTest, WhatPointsToOneThatWasMovedIsFoundByItsTagAndKey) {
  rig_.Open();
  const Appended message = rig_.Send(kQueue, "precious", {"k"});
  rig_.Fill(kQueue, 70u << 10);
  rig_.BuryLetter(GroupId(0), kQueue, message, kLetterQueue);
  rig_.Settle();
  ASSERT_OK(rig_.dispatcher().MoveBefore(LogOffset(64u << 10)));
  Appended moved = message;
  moved.log_offset = Letter().header().log_offset;
  const Appended again = rig_.BuryLetter(GroupId(0), kQueue, moved, kQueue);
  rig_.Settle();
  std::vector<IndexEntry> entries;
  ASSERT_OK(rig_.dispatcher().queues().Read(kQueue, again.queue_offset, 1, entries));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].tag_hash, TagHash("precious"));
  const auto found = rig_.dispatcher().keys().FindByKey(kTopic, "k", 9);
  ASSERT_OK(found);
  EXPECT_EQ(found->front(), again.log_offset);
}

}  // namespace
}  // namespace dunlin::store
