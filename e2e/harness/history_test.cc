#include "e2e/harness/history.h"

#include <gtest/gtest.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::e2e {
namespace {

using ::testing::HasSubstr;

class HistoryTest : public ::testing::Test {
 protected:
  absl::Status Read(uint32_t queue, int64_t offset, Identity identity) {
    std::string body;
    FillPayload(identity, 32, body);
    return check_.Read(queue, offset, MessageIdOf(identity), body);
  }

  History history_{2};
  HistoryCheck check_{history_, 2};
};

TEST_F(HistoryTest, AllThatWasAcknowledgedIsThere) {
  history_.Acknowledge(history_.Send(0), 0);
  history_.Send(0);  // not acknowledged: may be there or not
  history_.Acknowledge(history_.Send(1), 0);
  ASSERT_OK(Read(0, 0, {0, 0}));
  EXPECT_EQ(check_.Missing(), 1u);
  EXPECT_THAT(check_.CheckNothingMissing(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("producer 1 sequence 0")));
  ASSERT_OK(Read(1, 0, {1, 0}));
  EXPECT_OK(check_.CheckNothingMissing());
  EXPECT_OK(Read(0, 1, {0, 1}));
}

TEST_F(HistoryTest, EachInvariantIsFoundBroken) {
  for (int i = 0; i < 3; ++i) history_.Acknowledge(history_.Send(0), i);
  const auto loss = absl::StatusCode::kDataLoss;
  EXPECT_THAT(Read(0, 1, {0, 1}), StatusIs(loss, HasSubstr("not dense")));
  EXPECT_THAT(Read(0, 0, {0, 1}), StatusIs(loss, HasSubstr("acknowledged with offset 1")));
  EXPECT_THAT(Read(0, 0, {0, 3}), StatusIs(loss, HasSubstr("never sent")));
  EXPECT_THAT(check_.Read(0, 0, "01", std::string(32, 'x')), StatusIs(loss, HasSubstr("nobody")));
  std::string body;
  FillPayload({0, 0}, 32, body);
  EXPECT_THAT(check_.Read(0, 0, "01", body), StatusIs(loss, HasSubstr("under the id")));
  ASSERT_OK(Read(0, 0, {0, 0}));
  EXPECT_THAT(Read(1, 0, {0, 0}), StatusIs(loss, HasSubstr("second time")));
}

TEST_F(HistoryTest, AProducersOrderHoldsWithinAQueue) {
  history_.Send(0);
  history_.Send(0);
  ASSERT_OK(Read(0, 0, {0, 1}));
  EXPECT_THAT(Read(0, 1, {0, 0}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("behind")));
}

TEST_F(HistoryTest, AnOffsetNeverStandsForAnotherMessageLater) {
  history_.Send(0);
  history_.Send(1);
  ASSERT_OK(Read(0, 0, {0, 0}));
  HistoryCheck later(history_, 2);
  EXPECT_THAT(check_.CheckAgreesWith(later), StatusIs(absl::StatusCode::kDataLoss));
  std::string body;
  FillPayload({1, 0}, 32, body);
  ASSERT_OK(later.Read(0, 0, MessageIdOf({1, 0}), body));
  EXPECT_THAT(check_.CheckAgreesWith(later),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is now producer 1")));
}

}  // namespace
}  // namespace dunlin::e2e
