#include "services/replicator/driver/promise_file.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {
namespace {

using ::testing::HasSubstr;

TEST(PromiseFileTest, HoldsWhatWasPromised) {
  const TempDir dir;
  const std::string path = dir.path() + "/promise";
  EXPECT_THAT(LoadPromise(RealFiles(), path), IsOkAndHolds(std::optional<Epoch>()));
  ASSERT_OK(SavePromise(RealFiles(), path, Epoch(0)));
  EXPECT_THAT(LoadPromise(RealFiles(), path), IsOkAndHolds(std::optional<Epoch>(Epoch(0))));
  ASSERT_OK(SavePromise(RealFiles(), path, Epoch(4'000'000'000)));
  EXPECT_THAT(LoadPromise(RealFiles(), path),
              IsOkAndHolds(std::optional<Epoch>(Epoch(4'000'000'000))));
  for (int again = 0; again < 2; ++again) {
    ASSERT_OK(RemovePromise(RealFiles(), path));
    EXPECT_THAT(LoadPromise(RealFiles(), path), IsOkAndHolds(std::optional<Epoch>()));
  }
}

TEST(PromiseFileTest, NothingIsGuessedOfADamagedOne) {
  const TempDir dir;
  const std::string path = dir.path() + "/promise";
  ASSERT_OK(SavePromise(RealFiles(), path, Epoch(7)));
  const absl::StatusOr<std::string> whole = ReadWholeFile(RealFiles(), path);
  ASSERT_OK(whole);
  for (size_t i = 0; i < whole->size(); ++i) {
    std::string flipped = *whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    ASSERT_OK(WriteFileDurably(RealFiles(), path, flipped));
    EXPECT_THAT(LoadPromise(RealFiles(), path),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("Empty its store")));
  }
  ASSERT_OK(WriteFileDurably(RealFiles(), path, whole->substr(0, 19)));
  EXPECT_THAT(LoadPromise(RealFiles(), path), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace dunlin::replicator
