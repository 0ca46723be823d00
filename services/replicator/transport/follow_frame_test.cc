#include "services/replicator/transport/follow_frame.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/bytes.h"
#include "services/base/testing/status_matchers.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

using ::testing::HasSubstr;
namespace v1 = dunlin::replication::v1;

FrameHeader Header() {
  return {.epoch = Epoch(7),
          .epoch_start = LogOffset(4711),
          .offset = LogOffset(uint64_t{1} << 40),
          .confirm = LogOffset(4096),
          .end = LogOffset((uint64_t{1} << 40) + 96),
          .begin = LogOffset(64),
          .segment_end = LogOffset(uint64_t{1} << 41),
          .time = FromUnixMillis(1'700'000'000'123)};
}

// One record of `size` bytes: its length is its first field.
std::string Record(size_t size) {
  std::string record(size, 'r');
  StoreLittle(record.data(), static_cast<uint32_t>(size));
  return record;
}

std::string Encoded(std::string_view records) {
  auto kept = std::make_shared<std::string>(records);
  const grpc::ByteBuffer buffer = EncodeFrame(Header(), 0x12345678, *kept, kept);
  return std::string(FlatBuffer(buffer).view());
}

TEST(FollowFrameTest, ComesOutAsItWentIn) {
  const std::string records = Record(96);
  const std::string bytes = Encoded(records);
  ASSERT_TRUE(HasFrame(bytes));
  const absl::StatusOr<DecodedFrame> frame = DecodeFrame(bytes);
  ASSERT_OK(frame);
  EXPECT_EQ(frame->header.epoch, Header().epoch);
  EXPECT_EQ(frame->header.epoch_start, Header().epoch_start);
  EXPECT_EQ(frame->header.offset, Header().offset);
  EXPECT_EQ(frame->header.confirm, Header().confirm);
  EXPECT_EQ(frame->header.end, Header().end);
  EXPECT_EQ(frame->header.begin, Header().begin);
  EXPECT_EQ(frame->header.segment_end, Header().segment_end);
  EXPECT_EQ(frame->header.time, Header().time);
  EXPECT_EQ(frame->crc, 0x12345678u);
  EXPECT_EQ(frame->records, records);
}

TEST(FollowFrameTest, IsTheMessageOfTheContract) {
  v1::FollowResponse response;
  ASSERT_TRUE(response.ParseFromString(Encoded(Record(96))));
  EXPECT_EQ(response.frame().records(), Record(96));
  EXPECT_EQ(response.frame().epoch(), 7u);
  // And the other way round, whatever comes with it.
  response.mutable_frame()
      ->GetReflection()
      ->MutableUnknownFields(response.mutable_frame())
      ->AddVarint(99, 1);
  const std::string bytes = response.SerializeAsString();
  const absl::StatusOr<DecodedFrame> frame = DecodeFrame(bytes);
  ASSERT_OK(frame);
  EXPECT_EQ(frame->records, Record(96));
  EXPECT_EQ(frame->header.end, Header().end);
}

TEST(FollowFrameTest, AHeartbeatHasNoRecords) {
  const std::string bytes = Encoded("");
  const absl::StatusOr<DecodedFrame> frame = DecodeFrame(bytes);
  ASSERT_OK(frame);
  EXPECT_TRUE(frame->records.empty());
}

TEST(FollowFrameTest, OtherAnswersAreNoFrames) {
  v1::FollowResponse response;
  response.mutable_start()->set_epoch(3);
  EXPECT_FALSE(HasFrame(response.SerializeAsString()));
  EXPECT_FALSE(HasFrame(""));
}

TEST(FollowFrameTest, RefusesWhatIsCutAnywhere) {
  const std::string bytes = Encoded(Record(96));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeFrame(std::string_view(bytes).substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
  EXPECT_THAT(DecodeFrame(bytes + "x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FollowFrameTest, RefusesMoreThanAFrameMayHold) {
  // One record may be larger; two may not.
  const std::string one = Encoded(Record(kMaxFrameBytes + 8));
  EXPECT_OK(DecodeFrame(one));
  const std::string two = Encoded(Record(kMaxFrameBytes) + Record(8));
  EXPECT_THAT(DecodeFrame(two),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 1048576")));
}

TEST(FollowFrameTest, TheCheckSumRunsThroughAllFrames) {
  FrameChain chain;
  const uint32_t first = chain.Extend(Header(), "one");
  const uint32_t second = chain.Extend(Header(), "two");
  FrameChain same;
  EXPECT_EQ(same.Extend(Header(), "one"), first);
  EXPECT_EQ(same.Extend(Header(), "two"), second);
  // One left out, the order changed.
  FrameChain other;
  EXPECT_NE(other.Extend(Header(), "two"), second);
}

TEST(FollowFrameTest, TheCheckSumIsOfEveryField) {
  const auto sum = [](const FrameHeader& header) { return FrameChain().Extend(header, "one"); };
  const auto changed = [&sum](auto FrameHeader::*field) {
    FrameHeader header = Header();
    header.*field = {};
    return sum(header) != sum(Header());
  };
  EXPECT_TRUE(changed(&FrameHeader::epoch));
  EXPECT_TRUE(changed(&FrameHeader::epoch_start));
  EXPECT_TRUE(changed(&FrameHeader::offset));
  EXPECT_TRUE(changed(&FrameHeader::confirm));
  EXPECT_TRUE(changed(&FrameHeader::end));
  EXPECT_TRUE(changed(&FrameHeader::begin));
  EXPECT_TRUE(changed(&FrameHeader::segment_end));
  EXPECT_TRUE(changed(&FrameHeader::time));
}

}  // namespace
}  // namespace dunlin::replicator
