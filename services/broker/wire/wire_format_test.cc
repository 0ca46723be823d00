#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "services/broker/wire/utf8.h"
#include "services/broker/wire/wire_reader.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

// The bytes of a literal, zeros and all.
template <size_t kSize>
std::string Bytes(const char (&literal)[kSize]) {
  return std::string(literal, kSize - 1);
}

bool IsWellFormed(std::string_view bytes) {
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
  }
  return reader.ok();
}

TEST(WireReaderTest, ReadsWhatTheWriterWrote) {
  std::string bytes;
  WireWriter writer(bytes);
  writer.Int(1, -1);
  writer.Bytes(2000, "text");
  writer.Int(3, 300);
  WireReader reader(bytes);
  WireField field;
  ASSERT_TRUE(reader.Next(field));
  EXPECT_EQ(field.number, 1u);
  EXPECT_EQ(static_cast<int64_t>(field.varint), -1);
  EXPECT_EQ(field.whole.size(), 11u);
  ASSERT_TRUE(reader.Next(field));
  EXPECT_EQ(field.number, 2000u);
  EXPECT_EQ(field.bytes, "text");
  ASSERT_TRUE(reader.Next(field));
  EXPECT_EQ(field.varint, 300u);
  EXPECT_FALSE(reader.Next(field));
  EXPECT_TRUE(reader.ok());
}

TEST(WireReaderTest, EveryCutOfAFieldIsMalformed) {
  std::string bytes;
  WireWriter(bytes).Bytes(2000, std::string(200, 'x'));
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_FALSE(IsWellFormed(bytes.substr(0, size))) << size;
  }
  EXPECT_TRUE(IsWellFormed(bytes));
}

TEST(WireReaderTest, HostileBytesAreMalformed) {
  EXPECT_FALSE(IsWellFormed(Bytes("\x00\x00"))) << "field number 0";
  EXPECT_FALSE(IsWellFormed(Bytes("\x0e\x00"))) << "wire type 6";
  EXPECT_FALSE(IsWellFormed(Bytes("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")))
      << "huge length";
  EXPECT_FALSE(IsWellFormed(Bytes("\x08") + std::string(11, '\xff'))) << "endless varint";
  EXPECT_FALSE(IsWellFormed(Bytes("\xff\xff\xff\xff\xff\x01\x00"))) << "tag above 32 bits";
  EXPECT_FALSE(IsWellFormed(Bytes("\x09\x01\x02"))) << "cut fixed64";
  EXPECT_FALSE(IsWellFormed(Bytes("\x0c"))) << "end of a group that never began";
}

TEST(WireReaderTest, GroupsArePassedOverWhole) {
  const std::string group = Bytes("\x0b\x10\x05\x1b\x1c\x0c\x08\x01");  // {2: 5, 3: {}} then 1: 1
  WireReader reader(group);
  WireField field;
  ASSERT_TRUE(reader.Next(field));
  EXPECT_EQ(field.whole.size(), 6u);
  ASSERT_TRUE(reader.Next(field));
  EXPECT_EQ(field.varint, 1u);
  EXPECT_FALSE(IsWellFormed(Bytes("\x0b\x14"))) << "ended by another number";
  EXPECT_FALSE(IsWellFormed(std::string(1000, '\x0b'))) << "nested too deep";
}

TEST(WireWriterTest, PrefixIsThatOfBytes) {
  for (const size_t length : {0u, 1u, 127u, 128u, 16'383u, 16'384u, 5'000'000u}) {
    char prefix[kMaxPrefixSize];
    const size_t size = WritePrefix(3, length, prefix);
    std::string expected;
    WireWriter(expected).Prefix(3, length);
    EXPECT_EQ(std::string(prefix, size), expected);
    EXPECT_EQ(size, 1 + VarintSize(length));
  }
}

TEST(Utf8Test, AcceptsWhatUnicodeCallsWellFormed) {
  for (const std::string_view text :
       {"", "plain", "a longer text than eight bytes", "é", "水", "🐦", "mixed é水🐦 and more",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
}

TEST(Utf8Test, RefusesTheRest) {
  for (const std::string_view text :
       {"\x80", "\xc0\xaf", "\xc1\x81", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe6\xb0", "\xc3", "\xc3("}) {
    EXPECT_FALSE(IsUtf8(text));
    EXPECT_FALSE(IsUtf8("eight or more before " + std::string(text)));
  }
}

}  // namespace
}  // namespace dunlin::broker
