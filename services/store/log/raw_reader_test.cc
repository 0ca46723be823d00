#include "services/store/log/raw_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::store {
namespace {

constexpr LogOffset kNoLimit{UINT64_MAX};

class RawReaderTest : public ::testing::Test {
 protected:
  std::unique_ptr<CommitLog> OpenLog() { return OpenTestLog(directory_.path(), clock_); }
  std::unique_ptr<RawReader> OpenReader() {
    auto reader = RawReader::Open(RealFiles(), directory_.path());
    EXPECT_OK(reader);
    return *std::move(reader);
  }
  // What the file of a segment holds.
  std::string SegmentBytes(LogOffset begin, uint64_t from, size_t size) {
    std::ifstream file(directory_.path() + "/log/" + SegmentName(begin), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(from));
    std::string bytes(size, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(size));
    EXPECT_TRUE(file.good());
    return bytes;
  }
  // Where the records of the log begin.
  static std::vector<LogOffset> Records(CommitLog& log) {
    std::vector<LogOffset> offsets;
    LogOffset at = log.start();
    for (auto record = log.ReadNext(at, log.end()); record.ok();
         record = log.ReadNext(at, log.end())) {
      offsets.push_back(record->header().log_offset);
      at = record->end();
    }
    return offsets;
  }

  TempDir directory_;
  ManualClock clock_;
};

TEST_F(RawReaderTest, NeedsALog) {
  EXPECT_THAT(RawReader::Open(RealFiles(), directory_.path() + "/none"),
              StatusIs(absl::StatusCode::kNotFound));
  const auto log = OpenLog();
  const auto reader = OpenReader();
  EXPECT_EQ(reader->end(), LogOffset(0));
  EXPECT_THAT(reader->Read(LogOffset(0), kNoLimit, 100), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(RawReaderTest, EveryByteOfEveryRecordComesInPiecesOfOneSegmentAndOneEpoch) {
  std::mt19937 random(1);
  std::unique_ptr<CommitLog> log;
  for (int epoch = 0; epoch < 5; ++epoch) {
    if (log != nullptr) ASSERT_OK(log->Close());
    log.reset();
    log = OpenLog();
    AppendRandom(*log, random, 60);
  }
  const std::vector<LogOffset> records = Records(*log);
  ASSERT_EQ(records.size(), 300u);
  for (int round = 0; round < 20; ++round) {
    const auto reader = OpenReader();
    LogOffset at = reader->start();
    auto expected = records.begin();
    while (at < log->end()) {
      const size_t max_bytes = random() % (round < 10 ? 10'000 : 100'000);
      auto piece = reader->Read(at, kNoLimit, max_bytes);
      ASSERT_OK(piece);
      ASSERT_EQ(piece->begin, at);
      ASSERT_LE(piece->end, piece->segment_end);
      const LogOffset begin_of_segment(at.value() / (64u << 10) * (64u << 10));
      ASSERT_EQ(piece->segment_end, begin_of_segment + (64u << 10));
      ASSERT_EQ(piece->bytes,
                SegmentBytes(begin_of_segment, at - begin_of_segment, piece->bytes.size()));
      const LogOffset last_byte = at + piece->bytes.size() - 1;
      ASSERT_EQ(log->EpochAt(at), piece->epoch);
      ASSERT_EQ(log->EpochAt(last_byte), piece->epoch);
      ASSERT_TRUE(piece->end == last_byte + 1 || piece->end == piece->segment_end);
      int held = 0;
      for (; expected != records.end() && *expected < piece->end; ++expected) ++held;
      ASSERT_TRUE(piece->bytes.size() <= max_bytes || held <= 1);
      at = piece->end;
    }
    ASSERT_EQ(expected, records.end());
    EXPECT_THAT(reader->Read(at, kNoLimit, 100), StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST_F(RawReaderTest, StopsAtTheLastRecordBelowTheLimit) {
  std::mt19937 random(2);
  const auto log = OpenLog();
  AppendRandom(*log, random, 100);
  std::vector<LogOffset> ends = Records(*log);
  ends.push_back(log->end());
  const auto reader = OpenReader();
  for (int round = 0; round < 200; ++round) {
    const LogOffset limit(random() % (log->end().value() + 1000));
    // The last place below the limit where a record begins, or the log ends.
    const auto after = std::upper_bound(ends.begin(), ends.end(), limit);
    LogOffset at = reader->start();
    for (;;) {
      const auto piece = reader->Read(at, limit, 10'000);
      if (!piece.ok()) {
        ASSERT_THAT(piece, StatusIs(absl::StatusCode::kOutOfRange));
        break;
      }
      at = piece->end;
      ASSERT_LE(at, limit);
    }
    // Perhaps up to the padding behind it.
    if (after != ends.begin()) EXPECT_GE(at, *std::prev(after));
  }
}

TEST_F(RawReaderTest, FollowsALogThatIsWritten) {
  auto log = OpenLog();
  const auto reader = OpenReader();
  std::thread writer([&] {
    std::mt19937 random(3);
    AppendRandom(*log, random, 1500);
    ASSERT_OK(log->Close());
    log.reset();
    log = OpenLog();  // another epoch
    AppendRandom(*log, random, 500);
  });
  auto page = ControlPage::Open(RealFiles(), directory_.path() + "/control");
  ASSERT_OK(page);
  std::mt19937 random(4);
  std::vector<std::string> seen;
  LogOffset at;
  for (int records = 0; records < 2000;) {
    auto piece = reader->Read(at, kNoLimit, random() % 5000);
    if (absl::IsOutOfRange(piece.status())) {
      // A lone broker rings for nobody.
      std::this_thread::yield();
      continue;
    }
    ASSERT_OK(piece);
    for (size_t from = 0; from < piece->bytes.size();) {
      uint32_t length = 0;
      std::memcpy(&length, piece->bytes.data() + from, 4);
      if (piece->bytes[from + 8] != static_cast<char>(RecordKind::kPadding)) ++records;
      from += (length + 7) / 8 * 8;
    }
    at = piece->end;
  }
  writer.join();
  EXPECT_EQ(at, log->end());
}

TEST_F(RawReaderTest, RetentionTakesNothingAwayThatIsHeld) {
  std::mt19937 random(5);
  const auto log = OpenLog();
  AppendRandom(*log, random, 200);
  const auto reader = OpenReader();
  auto piece = reader->Read(LogOffset(0), kNoLimit, 50'000);
  ASSERT_OK(piece);
  const std::string copy(piece->bytes);
  auto behind = OpenReader();
  ASSERT_OK(log->DropBefore(LogOffset(3 * (64u << 10))));
  // Files that nobody in the writer's process reads may be used again.
  AppendRandom(*log, random, 10);
  EXPECT_EQ(reader->start(), LogOffset(3 * (64u << 10)));
  EXPECT_THAT(reader->Read(piece->end, kNoLimit, 100), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(behind->Read(LogOffset(0), kNoLimit, 100), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(behind->Read(behind->start(), kNoLimit, 100));
  EXPECT_EQ(piece->bytes.size(), copy.size());
}

TEST_F(RawReaderTest, WhatIsNoRecordIsToldOfWhereItStands) {
  std::mt19937 random(6);
  const auto log = OpenLog();
  AppendRandom(*log, random, 50, 500);
  const auto reader = OpenReader();
  EXPECT_THAT(reader->Read(LogOffset(8), kNoLimit, 100), StatusIs(absl::StatusCode::kDataLoss));
  const LogOffset damaged = Records(*log)[20];
  {
    std::fstream file(directory_.path() + "/log/" + SegmentName(LogOffset(0)),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(damaged.value() + 12));
    file.put('\x7f');  // its epoch
  }
  auto piece = reader->Read(LogOffset(0), kNoLimit, 100'000);
  ASSERT_OK(piece);
  EXPECT_EQ(piece->end, damaged);
  EXPECT_THAT(reader->Read(damaged, kNoLimit, 100'000), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace dunlin::store
