#include "services/broker/filter/message_filter.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/filter/filter_cache.h"
#include "services/broker/wire/testing/random_message.h"
#include "services/broker/wire/wire_writer.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

MessageFilter Sql(const std::string& expression) {
  auto filter = MessageFilter::Sql(expression);
  EXPECT_OK(filter) << expression;
  return filter.ok() ? *std::move(filter) : MessageFilter();
}

bool Matches(const MessageFilter& filter, const Stored& stored) {
  size_t searched = 0;
  return filter.Matches(stored.payload, stored.properties_offset, searched);
}

// As it comes with a send, and is stored.
Stored Order() {
  v2::Message message = UsualMessage(/*body_bytes=*/1000);
  (*message.mutable_user_properties())["price"] = "42";
  (*message.mutable_user_properties())["empty"] = "";
  message.mutable_system_properties()->add_keys("customer-7");
  return Store(message);
}

TEST(MessageFilterTest, ReadsUserPropertiesTagKeysAndId) {
  const Stored order = Order();
  for (const char* expression :
       {"price > 41 AND region = 'north'", "empty = ''", "absent IS NULL", "TAGS = 'paid'",
        "TAGS IN ('new', 'paid') AND price BETWEEN 40 AND 50", "KEYS = 'order-4711 customer-7'",
        "KEYS CONTAINS 'customer-7'", "UNIQ_KEY = '01ABCDEF0123456789ABCDEF0123456789'"}) {
    EXPECT_TRUE(Matches(Sql(expression), order)) << expression;
  }
  for (const char* expression :
       {"price > 42", "region = 'south'", "absent = 'x'", "absent <> 'x'", "TAGS = 'new'",
        "TAGS IS NULL", "KEYS = 'order-4711'", "Price = 42", "region"}) {
    EXPECT_FALSE(Matches(Sql(expression), order)) << expression;
  }
}

TEST(MessageFilterTest, WhatAMessageDoesNotHaveIsNull) {
  const Stored bare = Store(v2::Message());
  for (const char* name : {"TAGS", "KEYS", "UNIQ_KEY", "price"}) {
    EXPECT_TRUE(Matches(Sql(std::string(name) + " IS NULL"), bare)) << name;
    EXPECT_FALSE(Matches(Sql(std::string(name) + " <> 'x'"), bare)) << name;
  }
}

TEST(MessageFilterTest, OneKeyIsItself) {
  v2::Message message;
  message.mutable_system_properties()->add_keys("k");
  EXPECT_TRUE(Matches(Sql("KEYS = 'k'"), Store(message)));
}

TEST(MessageFilterTest, NamesOfManyLengthsAreTold) {
  v2::Message message;
  std::string expression;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "p" + std::to_string(i * i * i);
    (*message.mutable_user_properties())[name] = std::to_string(i);
    (*message.mutable_user_properties())[name + "x"] = "other";
    expression += (i == 0 ? "" : " AND ") + name + " = " + std::to_string(i);
  }
  EXPECT_TRUE(Matches(Sql(expression), Store(message)));
  (*message.mutable_user_properties())["p8"] = "9";
  EXPECT_FALSE(Matches(Sql(expression), Store(message)));
}

TEST(MessageFilterTest, OfRepeatedPropertiesTheLastCounts) {
  std::string entries;
  WireWriter writer(entries);
  for (const char* value : {"1", "2"}) {
    std::string entry;
    WireWriter(entry).Bytes(1, "a");
    WireWriter(entry).Bytes(2, value);
    writer.Bytes(2, entry);
  }
  v2::Message parsed;
  ASSERT_TRUE(parsed.ParseFromString(entries));
  ASSERT_EQ(parsed.user_properties().at("a"), "2");
  Stored stored;
  stored.payload = std::string("\x0a\x00", 2) + entries;
  stored.properties_offset = static_cast<uint32_t>(stored.payload.size());
  stored.payload += std::string("\x1a\x00", 2);
  EXPECT_TRUE(Matches(Sql("a = 2"), stored));
  EXPECT_FALSE(Matches(Sql("a = 1"), stored));
}

TEST(MessageFilterTest, DamagedMessagesMatchNothing) {
  const Stored order = Order();
  for (size_t size = 0; size < order.payload.size(); ++size) {
    EXPECT_FALSE(Matches(Sql("TRUE"), {order.payload.substr(0, size), order.properties_offset}));
  }
  Stored broken = order;
  broken.payload[order.payload.find("region") - 1] = 100;  // the key's length
  EXPECT_FALSE(Matches(Sql("TRUE"), broken));
}

TEST(MessageFilterTest, TagsAreComparedBehindTheirHashes) {
  constexpr char kTag[] = "wcjifoae";
  constexpr char kOther[] = "ccaoacux";
  ASSERT_EQ(store::TagHash(kTag), store::TagHash(kOther));
  for (const auto& filter : {MessageFilter::Tags(std::string("a || ") + kTag),
                             MessageFilter::Sql("TAGS = 'wcjifoae'")}) {
    ASSERT_OK(filter);
    EXPECT_TRUE(filter->MayMatch(store::TagHash(kOther)));
    v2::Message message;
    message.mutable_system_properties()->set_tag(kTag);
    EXPECT_TRUE(Matches(*filter, Store(message)));
    message.mutable_system_properties()->set_tag(kOther);
    EXPECT_FALSE(Matches(*filter, Store(message)));
  }
}

TEST(MessageFilterTest, TheIndexRulesOutWhatAnotherTagHas) {
  const MessageFilter tagged = Sql("TAGS = 'paid' AND price > 41");
  EXPECT_TRUE(tagged.MayMatch(store::TagHash("paid")));
  EXPECT_FALSE(tagged.MayMatch(store::TagHash("new")));
  EXPECT_FALSE(tagged.MayMatch(0));
  EXPECT_TRUE(Sql("price > 41").MayMatch(0));
  EXPECT_TRUE(MessageFilter().MayMatch(0));
}

TEST(MessageFilterTest, OnlyFiltersThatLetEverythingThroughSaySo) {
  EXPECT_TRUE(MessageFilter().matches_all());
  EXPECT_TRUE(MessageFilter::Tags("*")->matches_all());
  EXPECT_FALSE(MessageFilter::Tags("a")->matches_all());
  EXPECT_FALSE(Sql("TRUE").matches_all());
}

TEST(MessageFilterTest, WhatIsLookedAtIsCounted) {
  v2::Message message;
  (*message.mutable_user_properties())["a"] = std::string(5000, 'a');
  const Stored stored = Store(message);
  size_t searched = 0;
  Sql("b = 1").Matches(stored.payload, stored.properties_offset, searched);
  EXPECT_GT(searched, 5000u);
  EXPECT_LT(searched, 5100u);
}

TEST(FilterCacheTest, TheTypeNamesTheLanguage) {
  FilterCache cache;
  EXPECT_FALSE(cache.Get(0, "a || b")->MayMatch(store::TagHash("c")));
  EXPECT_FALSE(cache.Get(1, "a || b")->MayMatch(store::TagHash("c")));
  EXPECT_TRUE(Matches(*cache.Get(2, "price = 42"), Order()));
  for (const auto& [type, expression] : {std::pair(1, "||"), {2, "*"}, {3, "a"}, {-1, "a"}}) {
    EXPECT_EQ(CodeOf(cache.Get(type, expression).status()), PublicCode::kIllegalFilterExpression);
  }
}

TEST(FilterCacheTest, ForgetsWhatWasNotUsedForLongest) {
  FilterCache cache(/*max_bytes=*/12);
  const auto use = [&](const char* expression) { EXPECT_OK(cache.Get(2, expression)); };
  for (const char* expression : {"a = 1", "b = 1", "a = 1", "c = 1", "a = 1"}) use(expression);
  EXPECT_EQ(cache.size(), 2u);
  use("longer = 'than all of it'");
  EXPECT_EQ(cache.size(), 0u);
}

}  // namespace
}  // namespace dunlin::broker
