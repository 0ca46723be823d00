#include "operator/k8s/watch_decoder.h"

#include <gmock/gmock.h>

#include <random>

#include "services/base/testing/status_matchers.h"

namespace dunlin::k8s {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Line(std::string_view type, int number) {
  return PrintJson({{"type", type}, {"object", {{"number", number}}}}) + "\n";
}

TEST(WatchDecoderTest, PartsMayEndAnywhere) {
  std::string stream;
  for (int i = 0; i < 100; ++i) stream += Line(i % 7 == 0 ? "BOOKMARK" : "MODIFIED", i);
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    WatchDecoder decoder;
    std::vector<WatchEvent> events;
    std::string_view left = stream;
    while (!left.empty()) {
      const size_t size = std::min<size_t>(1 + random() % (1 + round), left.size());
      ASSERT_OK(decoder.Add(left.substr(0, size), events));
      left.remove_prefix(size);
    }
    ASSERT_THAT(events, SizeIs(100));
    for (int i = 0; i < 100; ++i) ASSERT_EQ(events[i].object["number"], i);
    ASSERT_EQ(events[7].kind, WatchEvent::Kind::kBookmark);
    ASSERT_EQ(events[8].kind, WatchEvent::Kind::kModified);
  }
}

TEST(WatchDecoderTest, WhatIsCutOffIsNoEvent) {
  WatchDecoder decoder;
  std::vector<WatchEvent> events;
  const std::string line = Line("ADDED", 1);
  ASSERT_OK(decoder.Add(line.substr(0, line.size() - 1), events));
  EXPECT_THAT(events, SizeIs(0));
  ASSERT_OK(decoder.Add("\n\n\r\n", events));
  EXPECT_THAT(events, SizeIs(1));
}

TEST(WatchDecoderTest, EveryType) {
  WatchDecoder decoder;
  std::vector<WatchEvent> events;
  ASSERT_OK(decoder.Add(Line("ADDED", 1) + Line("DELETED", 2) + Line("ERROR", 3), events));
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[0].kind, WatchEvent::Kind::kAdded);
  EXPECT_EQ(events[1].kind, WatchEvent::Kind::kDeleted);
  EXPECT_EQ(events[2].kind, WatchEvent::Kind::kError);
}

TEST(WatchDecoderTest, WhatIsNoEventIsAnErrorAfterThoseBefore) {
  for (const char* const bad : {"{", "[]", R"({"type": "NEW", "object": {}})",
                                R"({"type": "ADDED", "object": 5})", R"({"type": "ADDED"})"}) {
    WatchDecoder decoder;
    std::vector<WatchEvent> events;
    EXPECT_THAT(decoder.Add(Line("ADDED", 1) + bad + "\n", events),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
    EXPECT_THAT(events, SizeIs(1));
  }
}

TEST(WatchDecoderTest, ALineHasALimit) {
  WatchDecoder decoder;
  std::vector<WatchEvent> events;
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 16; ++i) ASSERT_OK(decoder.Add(part, events));
  EXPECT_THAT(decoder.Add("x", events),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("larger than")));
}

}  // namespace
}  // namespace dunlin::k8s
