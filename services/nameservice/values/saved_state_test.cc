#include "services/nameservice/values/saved_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "services/base/file.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::nameservice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class SavedStateTest : public ::testing::Test {
 protected:
  SavedStateTest() { Open(); }

  void Open() {
    auto opened = SavedState::Open(files_, path_);
    ASSERT_THAT(opened, IsOk());
    state_ = *std::move(opened);
  }

  const TempDir directory_;
  const std::string path_ = directory_.path() + "/name-service-state";
  ForgetfulFiles files_{RealFiles()};
  std::unique_ptr<SavedState> state_;
};

TEST_F(SavedStateTest, WhatWasPutIsThereAlsoAfterARestart) {
  EXPECT_OK(state_->Put("ORDER_TOPIC_CONFIG", "t", "broker-a:4;broker-b:4"));
  EXPECT_OK(state_->Put("other", "k", ""));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(state_->Get("ORDER_TOPIC_CONFIG", "t"), IsOkAndHolds("broker-a:4;broker-b:4"));
    EXPECT_THAT(state_->List("other"), ElementsAre(Pair("k", "")));
    Open();
  }
}

TEST_F(SavedStateTest, WhatWasDeletedIsGone) {
  EXPECT_OK(state_->Put("n", "k", "v"));
  EXPECT_OK(state_->Delete("n", "k"));
  EXPECT_THAT(state_->Delete("n", "k"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(state_->Get("n", "k"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(state_->List("n"), IsEmpty());
}

TEST_F(SavedStateTest, NamesAndValuesHaveLimits) {
  EXPECT_THAT(state_->Put("", "k", ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(state_->Put("n", std::string(256, 'k'), ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("256 bytes")));
  EXPECT_THAT(state_->Put("n", "k", std::string(65'537, 'v')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  absl::Status status;
  for (int i = 0; i < 65 && status.ok(); ++i) {
    status = state_->Put("n", std::to_string(i), std::string(65'536, 'v'));
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SavedStateTest, GroupsAreKept) {
  EXPECT_OK(state_->SaveGroups({{"a", "b"}, {"b"}}));
  Open();
  EXPECT_THAT(state_->groups().known, ElementsAre("a", "b"));
  EXPECT_THAT(state_->groups().read_only, ElementsAre("b"));
}

TEST_F(SavedStateTest, AWriteThatFailsChangesNothing) {
  EXPECT_OK(state_->Put("n", "k", "old"));
  files_.FailAt(ForgetfulFiles::Operation::kWrite, 1, absl::ResourceExhaustedError("full"));
  EXPECT_THAT(state_->Put("n", "k", "new"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(state_->Get("n", "k"), IsOkAndHolds("old"));
  Open();
  EXPECT_THAT(state_->Get("n", "k"), IsOkAndHolds("old"));
}

TEST_F(SavedStateTest, WhatWasPutSurvivesAPowerCut) {
  EXPECT_OK(state_->Put("n", "k", "v"));
  files_.CutPower(1);
  Open();
  EXPECT_THAT(state_->Get("n", "k"), IsOkAndHolds("v"));
}

TEST_F(SavedStateTest, EveryFlippedBitIsFound) {
  EXPECT_OK(state_->Put("n", "k", "v"));
  const auto whole = ReadWholeFile(RealFiles(), path_);
  ASSERT_THAT(whole, IsOk());
  for (size_t i = 0; i < whole->size() * 8; ++i) {
    std::string damaged = *whole;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << (i % 8)));
    ASSERT_OK(WriteFileDurably(RealFiles(), path_, damaged));
    EXPECT_THAT(SavedState::Open(RealFiles(), path_),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)))
        << i;
  }
  for (size_t size = 0; size < whole->size(); ++size) {
    ASSERT_OK(WriteFileDurably(RealFiles(), path_, whole->substr(0, size)));
    EXPECT_THAT(SavedState::Open(RealFiles(), path_), StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
}

}  // namespace
}  // namespace dunlin::nameservice
