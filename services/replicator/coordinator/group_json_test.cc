#include "services/replicator/coordinator/group_json.h"

#include "gtest/gtest.h"

#include "services/base/testing/status_matchers.h"

namespace dunlin::replicator {
namespace {

TEST(GroupJsonTest, ARecordComesBackAsItWas) {
  GroupRecord record{.epoch = Epoch(7),
                     .master = "a",
                     .in_sync = {"a", "b"},
                     .preferred = "b",
                     .unclean_epoch = Epoch(3)};
  record.roster.Add("a", "host-a:10912", Seat::kVoter);
  record.roster.Add("b", "host-b:10912", Seat::kVoter);
  record.roster.Add("c", "host-c:10912", Seat::kJoining);
  record.roster.Add("d", "host-d:10912", Seat::kLearner);
  record.roster.entries.erase("b");
  EXPECT_EQ(record.roster.last_id, 4u);
  const absl::StatusOr<GroupRecord> read = GroupRecordFromJson(ToJson(record));
  ASSERT_OK(read);
  EXPECT_EQ(*read, record);
}

TEST(GroupJsonTest, ARecordOfAVersionWithoutMembersHasNone) {
  const absl::StatusOr<GroupRecord> read = GroupRecordFromJson(
      R"({"epoch":2,"master":"a","inSync":["a"],"preferred":"","uncleanEpoch":0})");
  ASSERT_OK(read);
  EXPECT_TRUE(read->roster.empty());
}

}  // namespace
}  // namespace dunlin::replicator
