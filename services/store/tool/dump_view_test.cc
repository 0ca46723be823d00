#include "services/store/tool/dump_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/transaction.h"

namespace dunlin::store {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DumpViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.Open();
    rig_.PutTopic(TopicId(1));
    rig_.PutGroup(GroupId(1));
    const QueueKey queue{TopicId(1), 2};
    const Appended first = rig_.Send(queue, "red", {"key"}, "id");
    rig_.AnnounceProducer(0xAB, {TopicId(1), 3}, 7, 5);
    rig_.PutProgress(GroupId(1), queue, 1, {0});
    rig_.BuryLetter(GroupId(1), queue, first, {TopicId(2), 0});
    rig_.Prepare(queue, FromUnixMillis(1234));
    rig_.Resolve(rig_.Prepare(queue, FromUnixMillis(1234)), TransactionState::kRolledBack);
    rig_.Settle();
    rig_.Close();
  }

  std::set<std::string> Files() const {
    std::set<std::string> files;
    for (const auto& entry : fs::directory_iterator(rig_.state_directory())) {
      files.insert(entry.path().string() + " " + std::to_string(entry.file_size()));
    }
    return files;
  }

  StoreRig rig_;
};

TEST_F(DumpViewTest, PrintsEveryKindOfRowAndWritesNothing) {
  const std::set<std::string> before = Files();
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(DumpView(rig_.directory(), /*verify=*/false), 0);
  fflush(stdout);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              AllOf(HasSubstr("checkpoint format_version: 2"), HasSubstr("topic id: 1"),
                    HasSubstr("group id: 1"), HasSubstr("progress group_id: 1"),
                    HasSubstr("tail 1/2 holds 0 to 1"), HasSubstr("chunk 1/2 from 0: "),
                    HasSubstr("key "), HasSubstr("pointer to "),
                    HasSubstr("producer 00000000000000ab in 1/3: 5 from sequence 7 on at "),
                    HasSubstr("check of transaction "), HasSubstr("0 checks, the next at 1234"),
                    HasSubstr(" rolled back"), HasSubstr(" 0 undecodable")));
  EXPECT_EQ(Files(), before);
}

TEST_F(DumpViewTest, FindsAFlippedBitAnywhereInTheTables) {
  EXPECT_EQ(DumpView(rig_.directory(), /*verify=*/true), 0);
  for (const auto& entry : fs::directory_iterator(rig_.state_directory())) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const char byte = static_cast<char>(file.get());
    file.seekp(0);
    file.put(static_cast<char>(byte ^ 1));
    file.flush();
    EXPECT_EQ(DumpView(rig_.directory(), /*verify=*/true), 1) << entry.path();
    file.seekp(0);
    file.put(byte);
  }
}

TEST_F(DumpViewTest, AStoreWithoutAViewIsAnError) {
  fs::remove_all(rig_.state_directory());
  EXPECT_EQ(DumpView(rig_.directory(), /*verify=*/true), 1);
  EXPECT_FALSE(fs::exists(rig_.state_directory()));
}

}  // namespace
}  // namespace dunlin::store
