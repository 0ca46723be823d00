#include "services/store/log/segment_set.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::store {
namespace {

constexpr uint64_t kSize = 64u << 10;

TEST(SegmentSetTest, ASegmentThatCannotBeMadeLeavesNoFileBehind) {
  using Operation = ForgetfulFiles::Operation;
  for (bool in_a_hurry : {false, true}) {
    for (Operation operation : {Operation::kAllocate, Operation::kWrite, Operation::kDataSync,
                                Operation::kRename, Operation::kSyncDirectory}) {
      if (in_a_hurry && operation == Operation::kWrite) continue;  // writes nothing
      SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(operation)
                                      << (in_a_hurry ? " in a hurry" : ""));
      TempDir directory;
      ForgetfulFiles files(RealFiles());
      auto segments = SegmentSet::Open(files, directory.path(), kSize);
      ASSERT_OK(segments);
      auto make = [&] {
        return in_a_hurry ? (*segments)->FindOrMake(LogOffset(0)).status()
                          : (*segments)->Prepare(LogOffset(0), kSize, [](uint64_t) {});
      };
      files.FailAt(operation, 1, absl::ResourceExhaustedError("ENOSPC"));
      EXPECT_THAT(make(), StatusIs(absl::StatusCode::kResourceExhausted));
      auto names = files.List(directory.path());
      ASSERT_OK(names);
      EXPECT_EQ(*names, std::vector<std::string>());
      EXPECT_OK(make());
      names = files.List(directory.path());
      ASSERT_OK(names);
      EXPECT_EQ(*names, std::vector<std::string>{SegmentName(LogOffset(0))});
      EXPECT_NE((*segments)->Find(LogOffset(0)), nullptr);
    }
  }
}

// The writer made it itself and has gone on, and retention behind it, before the preparer was done.
TEST(SegmentSetTest, ASegmentThatIsGivenUpWhileItIsMadeDoesNotAppear) {
  TempDir directory;
  auto opened = SegmentSet::Open(RealFiles(), directory.path(), kSize);
  ASSERT_OK(opened);
  SegmentSet& segments = **opened;
  bool in_time = true;
  EXPECT_OK(segments.Prepare(LogOffset(0), kSize, [&](uint64_t) {
    if (!std::exchange(in_time, false)) return;
    EXPECT_OK(segments.FindOrMake(LogOffset(0)));
    EXPECT_OK(segments.FindOrMake(LogOffset(kSize)));
    EXPECT_OK(segments.DropBefore(LogOffset(kSize)));
  }));
  EXPECT_FALSE(in_time);
  EXPECT_EQ(segments.Find(LogOffset(0)), nullptr);
  EXPECT_NE(segments.Find(LogOffset(kSize)), nullptr);
  // Where a log begins anew it may be made again.
  EXPECT_OK(segments.RemoveFrom(LogOffset(0)));
  EXPECT_OK(segments.Prepare(LogOffset(0), kSize, [](uint64_t) {}));
  EXPECT_NE(segments.Find(LogOffset(0)), nullptr);
}

// What a reader sees of a directory that another set writes.
TEST(SegmentSetTest, ARefreshFindsWhatCameAndForgetsWhatExpired) {
  TempDir directory;
  auto writer =
      SegmentSet::Open(RealFiles(), directory.path(), kSize, SegmentSet::Expired::kIsRemoved);
  ASSERT_OK(writer);
  auto reader = SegmentSet::OpenEmptyForReading(RealFiles(), directory.path());
  ASSERT_OK(reader);
  for (uint64_t i = 0; i < 5; ++i) ASSERT_OK((*writer)->FindOrMake(LogOffset(i * kSize)));
  EXPECT_OK((*reader)->Refresh(LogOffset(kSize), LogOffset(3 * kSize)));
  ASSERT_EQ((*reader)->List().size(), 2u);
  EXPECT_EQ((*reader)->List().front()->begin(), LogOffset(kSize));
  const std::shared_ptr<Segment> held = (*reader)->Find(LogOffset(kSize));
  EXPECT_OK((*writer)->DropBefore(LogOffset(2 * kSize)));
  EXPECT_OK((*reader)->Refresh(LogOffset(2 * kSize), LogOffset(4 * kSize + 1)));
  ASSERT_EQ((*reader)->List().size(), 3u);
  EXPECT_EQ((*reader)->List().back()->begin(), LogOffset(4 * kSize));
  EXPECT_EQ(held->From(held->begin()).size(), kSize);
  EXPECT_OK((*writer)->RemoveFrom(LogOffset(3 * kSize)));
  EXPECT_EQ((*writer)->List().size(), 1u);
}

}  // namespace
}  // namespace dunlin::store
