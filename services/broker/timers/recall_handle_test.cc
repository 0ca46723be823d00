#include "services/broker/timers/recall_handle.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

RecallHandle Some() {
  return {TopicId(7), {FromUnixMillis(1'700'000'000'123), LogOffset(4711)}, "01C0FFEE", "broker-a"};
}

TEST(RecallHandleTest, IsReadAsItWasWritten) {
  const auto handle = DecodeRecallHandle(Encode(Some()));
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(*handle, Some());
}

// Made before handles named their broker.
TEST(RecallHandleTest, OldOnesAreRead) {
  RecallHandle old = Some();
  old.broker.clear();
  EXPECT_EQ(Encode(old), "AQAAAAcAAAB7aOXPiwEAAGcSAAAAAAAAMDFDMEZGRUUglUxs");
  const auto handle = DecodeRecallHandle("AQAAAAcAAAB7aOXPiwEAAGcSAAAAAAAAMDFDMEZGRUUglUxs");
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(*handle, old);
}

TEST(RecallHandleTest, IsSafeInUrls) {
  EXPECT_EQ(Encode(Some()).find_first_of("+/="), std::string::npos);
}

TEST(RecallHandleTest, EveryChangeIsNoticed) {
  const std::string text = Encode(Some());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    const auto handle = DecodeRecallHandle(changed);
    // The last letter holds bits that mean nothing.
    if (handle.ok()) {
      EXPECT_EQ(*handle, Some());
    } else {
      EXPECT_EQ(CodeOf(handle.status()), PublicCode::kBadRequest);
    }
  }
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(DecodeRecallHandle(text.substr(0, length)).ok()) << length;
  }
}

}  // namespace
}  // namespace dunlin::broker
