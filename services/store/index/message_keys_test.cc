#include "services/store/index/message_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::store {
namespace {

namespace v2 = apache::rocketmq::v2;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// As the broker stores it: everything else first, the system properties last.
struct Stored {
  std::string payload;
  uint32_t properties_offset = 0;
};
Stored Store(const v2::SystemProperties& properties) {
  v2::Message head;
  head.mutable_topic()->set_name("orders");
  head.set_body(std::string(300, 'b'));
  v2::Message last;
  *last.mutable_system_properties() = properties;
  Stored stored;
  stored.payload = head.SerializeAsString();
  stored.properties_offset = static_cast<uint32_t>(stored.payload.size());
  stored.payload += last.SerializeAsString();
  return stored;
}

TEST(MessageKeysTest, ReadsTagKeysAndIdAmongAllOtherProperties) {
  v2::SystemProperties properties;
  properties.set_tag("red");
  properties.add_keys("a");
  properties.add_keys("b");
  properties.set_message_id("01ABCDEF");
  properties.set_message_type(v2::NORMAL);
  properties.set_born_host("here");
  properties.set_queue_offset(-1);  // ten bytes
  properties.mutable_born_timestamp()->set_seconds(1);
  properties.set_message_group(std::string(200, 'g'));
  const Stored stored = Store(properties);
  const auto keys = ReadMessageKeys(stored.payload, stored.properties_offset);
  ASSERT_OK(keys);
  EXPECT_EQ(keys->tag, "red");
  EXPECT_EQ(keys->message_id, "01ABCDEF");
  EXPECT_THAT(keys->keys, ElementsAre("a", "b"));
}

TEST(MessageKeysTest, AMessageWithoutPropertiesHasNone) {
  const auto keys = ReadMessageKeys("body", 4);
  ASSERT_OK(keys);
  EXPECT_EQ(keys->tag, "");
  EXPECT_THAT(keys->keys, IsEmpty());
}

TEST(MessageKeysTest, AnythingElseIsRefused) {
  for (const std::string payload :
       {"\x1a",
        "\x1a\x05"
        "ab",
        "\x12\x01"
        "a",
        "\x1a\x02\x0a\x09", "\x1a\x01\x0b", "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"}) {
    EXPECT_THAT(ReadMessageKeys(payload, 0), StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(ReadMessageKeys("abc", 4), StatusIs(absl::StatusCode::kDataLoss));
}

// Whatever the bytes: an answer, and views that lie within them.
TEST(MessageKeysTest, BrokenBytesAreReadWithinTheirBounds) {
  std::mt19937 random(20260101);
  v2::SystemProperties properties;
  properties.set_tag("red");
  properties.add_keys("key");
  properties.set_message_id("id");
  const Stored stored = Store(properties);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = stored.payload;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      const size_t at =
          stored.properties_offset + random() % (bytes.size() - stored.properties_offset);
      bytes[at] = static_cast<char>(random());
    }
    bytes.resize(bytes.size() - random() % 8);
    const auto keys = ReadMessageKeys(bytes, stored.properties_offset);
    if (!keys.ok()) continue;
    for (std::string_view view : {keys->tag, keys->message_id}) {
      if (view.empty()) continue;
      ASSERT_GE(view.data(), bytes.data());
      ASSERT_LE(view.data() + view.size(), bytes.data() + bytes.size());
    }
  }
}

}  // namespace
}  // namespace dunlin::store
