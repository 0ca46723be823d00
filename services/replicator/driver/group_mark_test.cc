#include "services/replicator/driver/group_mark.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {
namespace {

using ::testing::HasSubstr;

TEST(GroupMarkTest, SaysWhoseLogItIs) {
  const TempDir dir;
  const std::string path = dir.path() + "/group";
  EXPECT_THAT(LoadGroupMark(RealFiles(), path), IsOkAndHolds(std::optional<GroupMark>()));
  for (const GroupMark& mark : {GroupMark{"broker-a", Epoch(0)}, GroupMark{"", Epoch(7)},
                                GroupMark{"another", Epoch(4'000'000'000)}}) {
    ASSERT_OK(SaveGroupMark(RealFiles(), path, mark));
    EXPECT_THAT(LoadGroupMark(RealFiles(), path), IsOkAndHolds(std::optional<GroupMark>(mark)));
  }
}

TEST(GroupMarkTest, NothingIsGuessedOfADamagedOne) {
  const TempDir dir;
  const std::string path = dir.path() + "/group";
  ASSERT_OK(SaveGroupMark(RealFiles(), path, {"broker-a", Epoch(7)}));
  const absl::StatusOr<std::string> whole = ReadWholeFile(RealFiles(), path);
  ASSERT_OK(whole);
  for (size_t i = 0; i < whole->size(); ++i) {
    std::string flipped = *whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    for (const std::string& bytes : {flipped, whole->substr(0, i)}) {
      ASSERT_OK(WriteFileDurably(RealFiles(), path, bytes));
      EXPECT_THAT(LoadGroupMark(RealFiles(), path),
                  StatusIs(absl::StatusCode::kDataLoss, HasSubstr("Empty its store")));
    }
  }
}

}  // namespace
}  // namespace dunlin::replicator
