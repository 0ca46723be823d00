#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "services/base/testing/status_matchers.h"
#include "services/broker/admission/client_properties.h"
#include "services/broker/admission/names.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/admission/text.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// The bytes of a literal, zeros and all.
template <size_t kSize>
std::string Bytes(const char (&literal)[kSize]) {
  return std::string(literal, kSize - 1);
}

TEST(NamesTest, LegalTopics) {
  for (const std::string_view name :
       {"orders", "A-b_9", "%DLQ%group", "%RETRY%group|x", "TBW1022", "RMQ_SYS"}) {
    EXPECT_OK(ValidateTopicName(name)) << name;
  }
  EXPECT_OK(ValidateTopicName(std::string(127, 't')));
}

TEST(NamesTest, IllegalTopics) {
  for (const std::string_view name :
       {"", " ", "a b", "a.b", "a/b", "é", "TBW102", "BenchmarkTest", "rmq_sys_x",
        "SELF_TEST_TOPIC", "CHECKPOINT_TOPIC", "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRACE_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "TRANS_CHECK_MAX_TIME_TOPIC",
        "OFFSET_MOVED_EVENT"}) {
    EXPECT_EQ(CodeOf(ValidateTopicName(name)), PublicCode::kIllegalTopic) << name;
  }
  const absl::Status status = ValidateTopicName(std::string(128, 't'));
  EXPECT_EQ(CodeOf(status), PublicCode::kIllegalTopic);
  EXPECT_THAT(std::string(status.message()), HasSubstr("128 bytes"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("at most 127"));
}

TEST(NamesTest, Groups) {
  EXPECT_OK(ValidateGroupName("group-1"));
  EXPECT_OK(ValidateGroupName(std::string(120, 'g')));
  for (const std::string& name :
       {Bytes(""), Bytes("a b"), Bytes("CID_RMQ_SYS_x"), std::string(121, 'g'), Bytes("gr\0up")}) {
    EXPECT_EQ(CodeOf(ValidateGroupName(name)), PublicCode::kIllegalConsumerGroup) << name;
  }
}

TEST(NamesTest, Namespaces) {
  const PublicCode code = PublicCode::kIllegalTopic;
  for (const std::string& name : {Bytes(""), Bytes("MQ_INST-1"), std::string(127, 'n')}) {
    EXPECT_OK(ValidateNamespace(name, code)) << name;
  }
  for (const std::string& name : {Bytes("a/b"), Bytes("\xff"), std::string(128, 'n')}) {
    EXPECT_EQ(CodeOf(ValidateNamespace(name, code)), code) << name;
  }
}

TEST(NamesTest, LiteTopics) {
  EXPECT_OK(ValidateLiteTopicName(std::string(64, 'l')));
  EXPECT_EQ(CodeOf(ValidateLiteTopicName(std::string(65, 'l'))), PublicCode::kIllegalLiteTopic);
  EXPECT_EQ(CodeOf(ValidateLiteTopicName("a$b")), PublicCode::kIllegalLiteTopic);
  EXPECT_EQ(CodeOf(ValidateLiteTopicName("")), PublicCode::kIllegalLiteTopic);
}

TEST(ReceiveRulesTest, InvisibleDurationOfAReceive) {
  EXPECT_OK(CheckReceiveInvisible(milliseconds(10'000), 10'000, 43'200'000));
  EXPECT_OK(CheckReceiveInvisible(milliseconds(43'200'000), 10'000, 43'200'000));
  const absl::Status small = CheckReceiveInvisible(milliseconds(9'999), 10'000, 43'200'000);
  EXPECT_EQ(CodeOf(small), PublicCode::kIllegalInvisibleTime);
  EXPECT_THAT(std::string(small.message()), HasSubstr("the invisibleTime is too small"));
  const absl::Status large = CheckReceiveInvisible(milliseconds(43'200'001), 10'000, 43'200'000);
  EXPECT_EQ(CodeOf(large), PublicCode::kIllegalInvisibleTime);
  EXPECT_THAT(std::string(large.message()), HasSubstr("the invisibleTime is too large"));
}

TEST(ReceiveRulesTest, InvisibleDurationOfAChangeMayBeZero) {
  EXPECT_OK(CheckChangedInvisible(milliseconds(0), 1000));
  EXPECT_OK(CheckChangedInvisible(milliseconds(1000), 1000));
  EXPECT_EQ(CodeOf(CheckChangedInvisible(milliseconds(-1), 1000)),
            PublicCode::kIllegalInvisibleTime);
  EXPECT_EQ(CodeOf(CheckChangedInvisible(milliseconds(1001), 1000)),
            PublicCode::kIllegalInvisibleTime);
}

TEST(ReceiveRulesTest, BatchSizeIsOneOrMore) {
  EXPECT_OK(CheckBatchSize(1));
  EXPECT_OK(CheckBatchSize(100'000));
  EXPECT_EQ(CodeOf(CheckBatchSize(0)), PublicCode::kBadRequest);
  EXPECT_EQ(CodeOf(CheckBatchSize(-1)), PublicCode::kBadRequest);
}

TEST(ClientPropertiesTest, Limits) {
  using Properties = std::map<std::string, std::string>;
  EXPECT_OK(CheckClientProperties(Properties{}));
  EXPECT_OK(CheckClientProperties(Properties{{"app.Name-1_x", std::string(256, 'v')}}));
  for (const std::string& key : {Bytes(""), Bytes("1a"), Bytes("_a"), Bytes("a b"), Bytes("é"),
                                 std::string(65, 'k'), Bytes("rocketmq.x")}) {
    EXPECT_EQ(CodeOf(CheckClientProperties(Properties{{key, "v"}})),
              PublicCode::kInvalidClientProperties)
        << key;
  }
  EXPECT_EQ(CodeOf(CheckClientProperties(Properties{{"k", std::string(257, 'v')}})),
            PublicCode::kInvalidClientProperties);
  Properties many;
  for (int i = 0; i < 32; ++i) many["k" + std::to_string(i)] = "v";
  EXPECT_OK(CheckClientProperties(many));
  many["one-more"] = "v";
  EXPECT_EQ(CodeOf(CheckClientProperties(many)), PublicCode::kInvalidClientProperties);
  Properties large;
  for (int i = 0; i < 16; ++i) {
    large[std::string(1, static_cast<char>('a' + i))] = std::string(255, 'v');
  }
  EXPECT_OK(CheckClientProperties(large)) << "4096 bytes";
  large["z"] = "";
  EXPECT_EQ(CodeOf(CheckClientProperties(large)), PublicCode::kInvalidClientProperties);
}

TEST(TextTest, Blank) {
  for (const std::string_view text : {"", " ", "\t\r\n", "\xe3\x80\x80", "\xe2\x80\x83 "}) {
    EXPECT_TRUE(IsBlank(text));
  }
  for (const std::string_view text : {"a", " a ", "\xc2\xa0", "水", "\xe2\x80\x87"}) {
    EXPECT_FALSE(IsBlank(text)) << text;
  }
}

TEST(TextTest, QuotedIsPrintableAndBounded) {
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted("a\x01\xc2\x85z"), "\"a\\x01\\x85z\"");
  // 水 has three bytes, and 64 is no multiple of three.
  std::string water;
  for (int i = 0; i < 30; ++i) water += "水";
  EXPECT_EQ(Quoted(water), "\"" + water.substr(0, 63) + "\"...");
}

}  // namespace
}  // namespace dunlin::broker
