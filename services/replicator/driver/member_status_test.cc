// What a master tells of its slaves and of its lease.
#include "services/replicator/driver/member_status.h"

#include <gtest/gtest.h>

#include <chrono>

#include "services/replicator/roles/testing/member_fixture.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;

class MemberStatusTest : public MemberFixture {
 protected:
  // Master of epoch 5 with a log of 100 bytes, and one slave, that has all of it.
  void BeMaster() {
    Make(Options(Mode::kSync), Log({{Epoch(4), LogOffset(0)}}, 100));
    See(View(4, "a", {"a", "b"}));
    Pass(milliseconds(50));
    Accept(Take<action::Elect>().value());
    Begin(5);
    Join(1, "b");
  }
  dunlin::replication::v1::GetMemberResponse Told() {
    return DescribeMember(member(), "g", "", now());
  }
};

TEST_F(MemberStatusTest, ASlaveThatHasAllThereIsIsNotBehind) {
  BeMaster();
  Pass(milliseconds(400));
  ASSERT_EQ(Told().slaves_size(), 1);
  EXPECT_EQ(Told().slaves(0).lag_bytes(), 0u);
  EXPECT_EQ(Told().slaves(0).lag_ms(), 0u);
}

TEST_F(MemberStatusTest, ASlaveIsBehindSinceItLastHadAll) {
  BeMaster();
  Append(50);
  Pass(milliseconds(300));
  EXPECT_EQ(Told().slaves(0).lag_bytes(), 50u);
  EXPECT_EQ(Told().slaves(0).lag_ms(), 300u);
  AckTo(1, 150, 150);
  EXPECT_EQ(Told().slaves(0).lag_ms(), 0u);
}

TEST_F(MemberStatusTest, TheLeaseRunsOutUnlessItIsRenewed) {
  BeMaster();
  const uint64_t left = Told().lease_remaining_ms();
  EXPECT_GT(left, 0u);
  EXPECT_LE(milliseconds(left), kTtl);
  Pass(milliseconds(100));
  EXPECT_EQ(Told().lease_remaining_ms(), left - 100);
  Pass(kTtl);
  EXPECT_EQ(Told().lease_remaining_ms(), 0u);
}

TEST_F(MemberStatusTest, HowManyMustBeInSyncIsARuleOfSyncAlone) {
  BeMaster();
  EXPECT_EQ(Told().min_in_sync(), 2u);
  Make(Options(Mode::kAsync), Log({{Epoch(4), LogOffset(0)}}, 100));
  EXPECT_EQ(Told().min_in_sync(), 0u);
  EXPECT_FALSE(Told().has_lease_remaining_ms()) << "no master";
}

}  // namespace
}  // namespace dunlin::replicator
