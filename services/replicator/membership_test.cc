#include "services/replicator/membership.h"

#include <gtest/gtest.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::replicator {
namespace {

using config::v1::ReplicationConfig;
using ::testing::HasSubstr;

ReplicationConfig Three() {
  ReplicationConfig config;
  config.set_member("a");
  config.set_members("a=host-a:10912, b=host-b:1,c=[::1]:2");
  config.set_master("a");
  return config;
}

TEST(MembershipTest, ReadsNamesAndAddresses) {
  ReplicationConfig config = Three();
  config.set_learners(" c ");
  const absl::StatusOr<Membership> membership = ReadMembership(config);
  ASSERT_OK(membership);
  EXPECT_EQ(membership->addresses.at("a"), "host-a:10912");
  EXPECT_EQ(membership->addresses.at("c"), "[::1]:2");
  EXPECT_EQ(membership->Voters(), (std::set<MemberName>{"a", "b"}));
  EXPECT_EQ(membership->Others(), (std::set<MemberName>{"b", "c"}));
}

TEST(MembershipTest, ElectionsAreOfThoseWhoElect) {
  ReplicationConfig config = Three();
  config.set_coordinator(ReplicationConfig::ETCD);
  config.set_election_delay_seconds(5);
  config.set_unclean_election_after_seconds(60);
  EXPECT_OK(ReadMembership(config));
  config.set_election(ReplicationConfig::MANUAL);
  EXPECT_THAT(ReadMembership(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                               HasSubstr("replication.election is MANUAL")));
  config.clear_election_delay_seconds();
  config.clear_unclean_election_after_seconds();
  EXPECT_OK(ReadMembership(config));
  config.set_coordinator(ReplicationConfig::STATIC);
  EXPECT_THAT(ReadMembership(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("STATIC there are none")));
}

TEST(MembershipTest, AGroupThatMayChangeBeginsWithIdsByPlace) {
  ReplicationConfig config = Three();
  config.set_members("b=host-b:1, a=host-a:10912, c=host-c:2");
  config.set_learners("c");
  EXPECT_TRUE(ReadMembership(config)->roster.empty()) << "STATIC";
  config.set_coordinator(ReplicationConfig::ETCD);
  const absl::StatusOr<Membership> membership = ReadMembership(config);
  ASSERT_OK(membership);
  EXPECT_EQ(membership->roster.entries.at("b").id, 1u);
  EXPECT_EQ(membership->roster.entries.at("a").id, 2u);
  EXPECT_EQ(membership->roster.entries.at("c").seat, Seat::kLearner);
  EXPECT_EQ(membership->roster.last_id, 3u);
}

TEST(MembershipTest, WhoIsToBeAddedKnowsTheCoordinatorOnly) {
  ReplicationConfig config = Three();
  config.set_member("d");
  config.clear_members();
  config.set_coordinator(ReplicationConfig::ETCD);
  const absl::StatusOr<Membership> membership = ReadMembership(config);
  ASSERT_OK(membership);
  EXPECT_TRUE(membership->Voters().empty());
  EXPECT_TRUE(membership->roster.empty());
}

// As on Kubernetes, where all members have one configuration file.
TEST(MembershipTest, WhoIsToBeAddedMayKnowThoseOfTheBeginning) {
  ReplicationConfig config = Three();
  config.set_member("d");
  config.set_coordinator(ReplicationConfig::KUBERNETES);
  const absl::StatusOr<Membership> membership = ReadMembership(config);
  ASSERT_OK(membership);
  EXPECT_EQ(membership->self, "d");
  EXPECT_TRUE(membership->addresses.empty()) << "its record says who they are now";
  EXPECT_TRUE(membership->roster.empty());
}

TEST(MembershipTest, SaysWhatIsWrong) {
  const auto refused = [](const ReplicationConfig& config, const std::string& words) {
    EXPECT_THAT(ReadMembership(config),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)));
  };
  ReplicationConfig config = Three();
  config.set_members("a=host-a:1, b");
  refused(config, "\"b\" is not NAME=HOST:PORT");
  config.set_members("a=host-a:1, a=host-b:1");
  refused(config, "\"a\" is there twice");
  config = Three();
  config.set_member("d");
  refused(config, "replication.member is \"d\"");
  config.clear_members();
  refused(config, "replication.member is \"d\"");
  config.set_coordinator(ReplicationConfig::ETCD);
  config.set_learners("d");
  refused(config, "replica add --learner");
  config = Three();
  config.set_learners("d");
  refused(config, "replication.learners is \"d\"");
  config.set_learners("a,b,c");
  refused(config, "who shall be master");
  config = Three();
  config.set_master("");
  refused(config, "replication.master is \"\"");
  config.set_master("c");
  config.set_learners("c");
  refused(config, "which is a learner");
  config = Three();
  config.set_mode(ReplicationConfig::SYNC);
  config.set_min_in_sync(4);
  refused(config, "only 3 members");
  config = Three();
  config.set_mode(ReplicationConfig::QUORUM);
  refused(config, "choose ETCD or KUBERNETES");
}

}  // namespace
}  // namespace dunlin::replicator
