// What dunlinctl shows: tables, JSON, times, sizes, messages, and the ids it makes.

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "clients/cli/message_id.h"
#include "clients/cli/message_text.h"
#include "clients/cli/output.h"
#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {
namespace {

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(Table({{"TOPIC", "QUEUES"}, {"orders-of-the-day", "8"}, {"x", "16"}}),
            "TOPIC              QUEUES\n"
            "orders-of-the-day  8\n"
            "x                  16\n");
}

TEST(TableTest, NoBlanksAtTheEndOfALine) {
  EXPECT_EQ(Table({{"A", "B", "C"}, {"1", "", ""}, {"", "", ""}}), "A  B  C\n1\n\n");
  EXPECT_EQ(Table({}), "");
}

TEST(JsonTest, EveryFieldIsThereUnderItsOwnName) {
  admin::v1::GroupQueueStatus status;
  status.set_topic("hello");
  status.set_lag(3);
  const std::string json = Json(status);
  EXPECT_NE(json.find("\"committed_offset\": \"0\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"lag\": \"3\""), std::string::npos) << json;
  EXPECT_EQ(json.back(), '\n');
}

TEST(TimeTextTest, UtcWithMilliseconds) {
  EXPECT_EQ(TimeText(1'795'211'651, 250'000'000), "2026-11-20 21:54:11.250");
  EXPECT_EQ(TimeText(0, 0), "-");
  EXPECT_EQ(TimeText(-1, 0), "1969-12-31 23:59:59.000");
}

TEST(BytesTextTest, ThreeSignificantPlacesAndAUnit) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(int64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(BytesText(int64_t{3} << 52), "12288.0 TiB");
}

TEST(BodyTextTest, TextAsItIsAnythingElseInBase64) {
  EXPECT_EQ(BodyText("gr\xc3\xbc\xc3\x9f\tGott\n"), "gr\xc3\xbc\xc3\x9f\tGott\n");
  EXPECT_EQ(BodyText(std::string_view("\x1f\x8b\0", 3)), "base64:H4sA");
  EXPECT_EQ(BodyText("\x1b[2J"), "base64:G1sySg==");  // would clear the terminal
}

TEST(MessageTextTest, PlaceTagKeysAndPropertiesOnOneLineThenTheBody) {
  apache::rocketmq::v2::Message message;
  message.mutable_topic()->set_name("orders");
  message.set_body("one order");
  auto& system = *message.mutable_system_properties();
  system.set_message_id("01AB");
  system.set_queue_id(3);
  system.set_queue_offset(17);
  EXPECT_EQ(MessageText(message), "01AB orders/3@17\none order\n");
  system.set_tag("new");
  system.add_keys("k1");
  system.add_keys("k2");
  system.set_delivery_attempt(2);
  (*message.mutable_user_properties())["b"] = "2";
  (*message.mutable_user_properties())["a"] = "1";
  EXPECT_EQ(MessageText(message),
            "01AB orders/3@17 attempt=2 tag=new key=k1 key=k2 a=1 b=2\none order\n");
}

TEST(OutputTest, OneWordForAShell) {
  EXPECT_EQ(ShellWord("orders_2-a"), "orders_2-a");
  EXPECT_EQ(ShellWord("2026-11-20T22:00:00Z"), "2026-11-20T22:00:00Z");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("a|b"), "'a|b'");
  EXPECT_EQ(ShellWord("shop's orders"), "'shop'\\''s orders'");
}

TEST(MessageIdTest, HasTheFormOfTheSdks) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = NewMessageId();
    EXPECT_EQ(id.size(), 34u);
    EXPECT_EQ(id.substr(0, 2), "01");
    EXPECT_EQ(id.find_first_not_of("0123456789ABCDEF"), std::string::npos) << id;
    EXPECT_EQ(id.substr(2, 16), NewMessageId().substr(2, 16));  // of host and process
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

}  // namespace
}  // namespace dunlin::cli
