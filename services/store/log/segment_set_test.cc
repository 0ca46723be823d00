#include "services/store/log/segment_set.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
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
                          : (*segments)->Prepare(LogOffset(0), [](uint64_t) {});
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

}  // namespace
}  // namespace dunlin::store
