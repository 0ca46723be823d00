#include "services/store/log/record_codec.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "services/base/crc32c.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::store {
namespace {

std::string Encode(const RecordHeader& header, std::string_view payload) {
  std::string bytes(kRecordHeaderSize, '\0');
  EncodeHeader(header, Crc32c(payload), bytes.data());
  return bytes.append(payload);
}

RecordHeader Example() {
  RecordHeader header;
  header.length = kRecordHeaderSize + 7;
  header.kind = RecordKind::kMessage;
  header.flags = kFlagGzip;
  header.epoch = Epoch(3);
  header.log_offset = LogOffset(4096);
  header.queue = {TopicId(5), 6};
  header.queue_offset = QueueOffset(7);
  header.store_time = FromUnixMillis(1'700'000'000'123);
  header.unflushed = 8;
  header.properties_offset = 2;
  return header;
}

TEST(RecordCodecTest, DecodesWhatItEncoded) {
  const RecordHeader header = Example();
  const auto decoded = CheckRecord(Encode(header, "payload"), {header.log_offset, Epoch(3)});
  ASSERT_OK(decoded);
  EXPECT_EQ(decoded->length, header.length);
  EXPECT_EQ(decoded->kind, header.kind);
  EXPECT_EQ(decoded->flags, header.flags);
  EXPECT_EQ(decoded->epoch, header.epoch);
  EXPECT_EQ(decoded->queue, header.queue);
  EXPECT_EQ(decoded->queue_offset, header.queue_offset);
  EXPECT_EQ(decoded->store_time, header.store_time);
  EXPECT_EQ(decoded->unflushed, header.unflushed);
  EXPECT_EQ(decoded->properties_offset, header.properties_offset);
}

TEST(RecordCodecTest, ARecordIsOneOnlyAtItsPlaceAndInItsEpoch) {
  const RecordHeader header = Example();
  const std::string bytes = Encode(header, "payload");
  EXPECT_THAT(CheckRecord(bytes, {LogOffset(4104), Epoch(3)}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(CheckRecord(bytes, {header.log_offset, Epoch(4)}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(CheckRecord(bytes, {header.log_offset, std::nullopt}));
}

TEST(RecordCodecTest, NoChangedByteAndNoCutPasses) {
  const RecordHeader header = Example();
  const std::string whole = Encode(header, "payload");
  for (size_t i = 0; i < whole.size() * 8; ++i) {
    std::string bytes = whole;
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(CheckRecord(bytes, {header.log_offset, std::nullopt}).ok()) << "bit " << i;
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(CheckRecord(whole.substr(0, size), {header.log_offset, std::nullopt}).ok());
  }
}

TEST(RecordCodecTest, RandomBytesAreNoRecord) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_FALSE(CheckRecord(bytes, {LogOffset(0), std::nullopt}).ok());
  }
}

}  // namespace
}  // namespace dunlin::store
