#include "services/store/index/queue_chunks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::store {
namespace {

using ::testing::HasSubstr;

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

// The worked example of docs/formats/queue_chunk.md.
TEST(QueueChunkFormatTest, IsWhatTheSpecificationSays) {
  const std::string chunk =
      EncodeChunk({{LogOffset(0x1000), 300, 0xdeadbeef}, {LogOffset(0x1130), 300, 0xdeadbeef}, {}});
  EXPECT_EQ(Hex(chunk),
            "301100000000000003"
            "078040ac02efbeadde"
            "00"
            "07bf490000000000"
            "b8def795");
  const std::string tail = EncodeTail({QueueOffset(258), QueueOffset(2), LogOffset(0x1000)});
  EXPECT_EQ(Hex(tail),
            "0201000000000000"
            "0200000000000000"
            "0010000000000000");
}

TEST(QueueChunkFormatTest, ReadsBackAndFindsEveryFlippedBit) {
  std::vector<IndexEntry> entries;
  for (uint32_t i = 0; i < kChunkEntries; ++i) {
    entries.push_back({LogOffset(i * 1000), i + 1, i * i});
  }
  const std::string chunk = EncodeChunk(entries);
  auto decoded = DecodeChunk(chunk);
  ASSERT_OK(decoded);
  EXPECT_TRUE(*decoded == entries);
  for (size_t bit = 0; bit < chunk.size() * 8; ++bit) {
    std::string broken = chunk;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(DecodeChunk(broken), StatusIs(absl::StatusCode::kDataLoss));
  }
  for (size_t size = 0; size < chunk.size(); ++size) {
    EXPECT_THAT(DecodeChunk(chunk.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss));
  }
}

class QueueChunksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CommitLogOptions options;
    options.directory = directory_.path();
    options.segment_size_bytes = 64u << 10;
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    log_ = *std::move(log);
    auto database = Database::Open(directory_.path() + "/state");
    ASSERT_OK(database);
    database_ = *std::move(database);
    Forget();
  }

  // As after a restart: what is not in RocksDB is gone.
  void Forget() { chunks_ = std::make_unique<QueueChunks>(*database_, *log_); }

  static IndexEntry Entry(uint64_t offset) {
    return {LogOffset(offset * 64), 50, static_cast<uint32_t>(offset)};
  }
  void Put(QueueKey queue, uint64_t offset) {
    ASSERT_OK(chunks_->Put(queue, QueueOffset(offset), Entry(offset), batch_));
  }
  void Write() {
    ASSERT_OK(database_->Write(batch_));
    batch_.Clear();
    chunks_->BatchWritten();
  }
  void Save() {
    chunks_->PutOpenChunks(batch_);
    Write();
    chunks_->CheckpointWritten();
  }

  TempDir directory_;
  ManualClock clock_;
  std::unique_ptr<CommitLog> log_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<QueueChunks> chunks_;
  rocksdb::WriteBatch batch_;
};

constexpr QueueKey kQueue{TopicId(1), 0};

TEST_F(QueueChunksTest, ServesWhatIsNotWrittenYet) {
  for (uint64_t i = 0; i < 300; ++i) Put(kQueue, i);
  std::vector<IndexEntry> entries;
  ASSERT_OK(chunks_->Read(kQueue, QueueOffset(0), 1000, entries));
  ASSERT_EQ(entries.size(), 300u);
  for (uint64_t i = 0; i < 300; ++i) EXPECT_TRUE(entries[i] == Entry(i));
}

TEST_F(QueueChunksTest, AGapReadsAsDamagedHoweverWide) {
  Put(kQueue, 3);
  Put(kQueue, 5);
  Put(kQueue, 1'000'000'000);  // costs no memory in between
  Save();
  Forget();
  EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(3));
  EXPECT_EQ(chunks_->Bounds(kQueue).max, QueueOffset(1'000'000'001));
  std::vector<IndexEntry> entries;
  ASSERT_OK(chunks_->Read(kQueue, QueueOffset(3), 200, entries));
  ASSERT_EQ(entries.size(), 200u);
  EXPECT_TRUE(entries[0] == Entry(3));
  EXPECT_TRUE(entries[1] == IndexEntry());
  EXPECT_TRUE(entries[2] == Entry(5));
  for (size_t i = 3; i < 200; ++i) EXPECT_TRUE(entries[i] == IndexEntry());
}

TEST_F(QueueChunksTest, WhatIsTrimmedIsNotServed) {
  constexpr uint64_t kCount = 3 * kChunkEntries + 10;
  for (uint64_t i = 0; i < kCount; ++i) Put(kQueue, i);
  ASSERT_OK(chunks_->Trim(kQueue, QueueOffset(kChunkEntries + 5), batch_));
  std::vector<IndexEntry> entries;
  for (bool saved : {false, true}) {
    if (saved) {
      Save();
      Forget();
    }
    EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(kChunkEntries + 5));
    EXPECT_EQ(chunks_->Bounds(kQueue).max, QueueOffset(kCount));
    EXPECT_TRUE(absl::IsOutOfRange(chunks_->Read(kQueue, QueueOffset(3), 1, entries)));
    entries.clear();
    ASSERT_OK(chunks_->Read(kQueue, QueueOffset(kChunkEntries + 5), kCount, entries));
    ASSERT_EQ(entries.size(), kCount - kChunkEntries - 5);
    EXPECT_TRUE(entries.front() == Entry(kChunkEntries + 5));
    EXPECT_TRUE(entries.back() == Entry(kCount - 1));
  }
  // Never back, never beyond the end.
  ASSERT_OK(chunks_->Trim(kQueue, QueueOffset(2), batch_));
  EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(kChunkEntries + 5));
  ASSERT_OK(chunks_->Trim(kQueue, QueueOffset(kCount + 100), batch_));
  EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(kCount));
  Put(kQueue, kCount);
  EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(kCount));
  EXPECT_EQ(chunks_->Bounds(kQueue).max, QueueOffset(kCount + 1));
  ASSERT_OK(chunks_->Trim({TopicId(9), 9}, QueueOffset(1), batch_));
}

TEST_F(QueueChunksTest, RaisingTheTailKeepsWhatTheOpenChunkHolds) {
  for (uint64_t i = 0; i < 5; ++i) Put(kQueue, i);
  ASSERT_OK(chunks_->RaiseTail(kQueue, QueueOffset(7), batch_));
  Save();
  Forget();
  std::vector<IndexEntry> entries;
  ASSERT_OK(chunks_->Read(kQueue, QueueOffset(0), 10, entries));
  ASSERT_EQ(entries.size(), 7u);
  EXPECT_TRUE(entries[4] == Entry(4));
  EXPECT_TRUE(entries[6] == IndexEntry());
}

TEST_F(QueueChunksTest, AReplacedEntryInFrontOfTheQueueIsFound) {
  Put(kQueue, 200);
  ASSERT_OK(chunks_->Put(kQueue, QueueOffset(10), {LogOffset(9), 8, 7}, batch_));
  Save();
  Forget();
  EXPECT_EQ(chunks_->Bounds(kQueue).min, QueueOffset(10));
  std::vector<IndexEntry> entries;
  ASSERT_OK(chunks_->Read(kQueue, QueueOffset(10), 1, entries));
  EXPECT_TRUE((entries.front() == IndexEntry{LogOffset(9), 8, 7}));
}

TEST_F(QueueChunksTest, MoreQueuesThanStayInMemory) {
  // As many as are changed between two checkpoints stay all the same.
  chunks_ = std::make_unique<QueueChunks>(*database_, *log_, /*memory_bytes=*/1u << 20);
  constexpr uint32_t kQueues = 40'000;
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    Put({TopicId(1), queue}, queue);
  }
  Save();
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    const QueueKey key{TopicId(1), queue};
    ASSERT_EQ(chunks_->Bounds(key).max, QueueOffset(queue + 1));
    if (queue % 3 == 0) Put(key, queue + 1);
  }
  Save();
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    const auto next = chunks_->NextOffset({TopicId(1), queue});
    ASSERT_THAT(next, IsOkAndHolds(QueueOffset(queue + (queue % 3 == 0 ? 2 : 1))));
  }
}

TEST_F(QueueChunksTest, VisitsTheTailsOfAllQueues) {
  for (uint32_t queue = 0; queue < 100; ++queue) Put({TopicId(queue % 7 + 1), queue}, queue);
  Save();
  Forget();
  for (uint32_t queue = 50; queue < 150; ++queue) Put({TopicId(queue % 7 + 1), queue}, queue + 1);
  Write();  // not saved: in memory alone
  std::map<std::pair<uint32_t, uint32_t>, QueueOffset> tails;
  ASSERT_OK(chunks_->VisitTails([&](QueueKey queue, QueueOffset next) {
    QueueOffset& tail = tails[{queue.topic.value(), queue.queue}];
    tail = std::max(tail, next);
  }));
  ASSERT_EQ(tails.size(), 150u);
  for (uint32_t queue = 0; queue < 150; ++queue) {
    EXPECT_EQ((tails[{queue % 7 + 1, queue}]), QueueOffset(queue + (queue < 50 ? 1 : 2)));
  }
}

TEST_F(QueueChunksTest, DamageIsReportedAndMarked) {
  for (uint64_t i = 0; i < 300; ++i) Put(kQueue, i);
  Save();
  batch_.Put(database_->handle(Family::kChunks), KeyOf(kQueue) + BigEndian(uint64_t{1}), "rubbish");
  Write();
  std::vector<IndexEntry> entries;
  EXPECT_OK(chunks_->Read(kQueue, QueueOffset(0), 128, entries));
  EXPECT_OK(database_->health());
  EXPECT_THAT(chunks_->Read(kQueue, QueueOffset(0), 300, entries),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("chunk 1 of queue 0 of topic 1")));
  EXPECT_THAT(database_->health(), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_OK(database_->Flush(/*wait=*/true));
  chunks_.reset();
  database_.reset();
  auto again = Database::Open(directory_.path() + "/state");
  ASSERT_OK(again);
  EXPECT_THAT((*again)->Get(Family::kTails, KeyOf(kQueue)), IsOkAndHolds(std::nullopt));
}

TEST_F(QueueChunksTest, ReadersSeeADenseQueueWhileItGrows) {
  constexpr uint64_t kMessages = 20'000;
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::vector<IndexEntry> entries;
    while (!stop.load()) {
      const QueueBounds bounds = chunks_->Bounds(kQueue);
      if (bounds.max.value() < 300) continue;
      entries.clear();
      const uint64_t from = bounds.max.value() - 300;
      ASSERT_OK(chunks_->Read(kQueue, QueueOffset(from), 300, entries));
      ASSERT_EQ(entries.size(), 300u);
      for (uint64_t i = 0; i < 300; ++i) ASSERT_TRUE(entries[i] == Entry(from + i));
    }
  });
  for (uint64_t i = 0; i < kMessages; ++i) {
    Put(kQueue, i);
    if (i % 100 == 99) Write();
    if (i % 5000 == 4999) Save();
  }
  stop.store(true);
  reader.join();
}

}  // namespace
}  // namespace dunlin::store
