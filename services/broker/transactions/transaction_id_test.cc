#include "services/broker/transactions/transaction_id.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/broker_mark.h"

namespace dunlin::broker {
namespace {

TransactionId Some() {
  return MakeTransactionId(TopicId(7), LogOffset(4711), "01C0FFEE", MarkOf("a"));
}

TEST(TransactionIdTest, IsReadAsItWasWritten) {
  const auto id = DecodeTransactionId(Encode(Some()));
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, Some());
  EXPECT_NE(Some(), MakeTransactionId(TopicId(7), LogOffset(4711), "01C0FFEF", MarkOf("a")));
}

TEST(TransactionIdTest, IsSafeInUrls) {
  EXPECT_EQ(Encode(Some()).find_first_of("+/="), std::string::npos);
  EXPECT_EQ(Encode(Some()).size(), 32u);
}

TEST(TransactionIdTest, EveryChangeIsNoticed) {
  const std::string text = Encode(Some());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(CodeOf(DecodeTransactionId(changed).status()), PublicCode::kInvalidTransactionId);
  }
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(DecodeTransactionId(text.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(DecodeTransactionId(std::string(1 << 20, 'A')).ok());
  EXPECT_FALSE(DecodeTransactionId("   ").ok());
}

}  // namespace
}  // namespace dunlin::broker
