// The rules of registration: who is in, whose word counts, what is told to whom.

#include "services/nameservice/routes/route_table.h"

#include "services/nameservice/routes/testing/table_fixture.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST_F(RouteTableTest, ANewBrokerIsAskedForItsTopicsAndIsInRoutesFromThenOn) {
  Start();
  EXPECT_OK(Register(1, Hello("a", "a-0", 0)));
  EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(1)));
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  EXPECT_OK(Tell(1, {Topic("t"), Topic("u")}));
  EXPECT_THAT(changes_.topics, UnorderedElementsAre("t", "u"));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
}

TEST_F(RouteTableTest, TopicsOfAllBrokersAreInOneRouteByName) {
  Start();
  Join(1, "b", {Topic("t", 4)});
  Join(2, "a", {Topic("t", 2)});
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a", "b"));
  EXPECT_EQ(table_->FindRoute("t").queues(1).queues(), 4u);
}

TEST_F(RouteTableTest, ATableInPiecesCountsOnceTheLastIsThere) {
  Start();
  Join(1, "a", {Topic("old"), Topic("kept")});
  Leave(1);
  v1::Hello hello = Hello("a", "a-0", 0);
  *hello.mutable_topics_version() = Version(9);
  EXPECT_OK(Register(2, hello));
  v1::TopicTable piece;
  piece.set_first(true);
  *piece.add_topics() = Topic("new");
  EXPECT_OK(table_->Apply(SessionId(2), piece, changes_));
  EXPECT_THAT(BrokersOf("old"), ElementsAre("a"));
  piece.Clear();
  *piece.add_topics() = Topic("kept");
  piece.set_last(true);
  *piece.mutable_version() = Version(9);
  changes_ = {};
  EXPECT_OK(table_->Apply(SessionId(2), piece, changes_));
  EXPECT_THAT(changes_.topics, ElementsAre("old"));
  EXPECT_THAT(BrokersOf("old"), IsEmpty());
  EXPECT_THAT(BrokersOf("kept"), ElementsAre("a"));
  EXPECT_THAT(BrokersOf("new"), ElementsAre("a"));
}

// A master comes and goes while the slave that spoke for the group tells its topics.
TEST_F(RouteTableTest, ATableOfWhichPiecesWerePassedOverIsAskedForAnew) {
  for (const bool master_tells : {false, true}) {
    Start();
    EXPECT_OK(Register(2, Hello("a", "a-1", 1)));
    EXPECT_OK(TellPiece(2, Topic("t1"), true, false));
    v1::Hello master = Hello("a", "a-0", 0);
    *master.mutable_topics_version() = Version(9);
    EXPECT_OK(Register(1, master));
    EXPECT_OK(TellPiece(2, Topic("t2"), false, false));
    if (master_tells) EXPECT_OK(Tell(1, {Topic("t1")}, 9));
    Leave(1);
    EXPECT_OK(TellPiece(2, Topic("t3"), false, true));
    EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(2)));
    EXPECT_OK(Tell(2, {Topic("t1"), Topic("t2"), Topic("t3")}));
    for (const char* topic : {"t1", "t2", "t3"}) EXPECT_THAT(BrokersOf(topic), ElementsAre("a"));
  }
}

TEST_F(RouteTableTest, ATableThatBeganBeforeItsMemberSpokeIsAskedForAnew) {
  Start();
  EXPECT_OK(Register(2, Hello("a", "a-1", 1)));
  EXPECT_OK(Register(1, Hello("a", "a-0", 0)));
  EXPECT_OK(TellPiece(2, Topic("t1"), true, false));
  Leave(1);
  EXPECT_OK(TellPiece(2, Topic("t2"), false, true));
  EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(2)));
}

// 1.4.3, without the default that undoes it.
TEST_F(RouteTableTest, ABrokerWithTheSameDataVersionSendsNoTopics) {
  Start();
  Join(1, "a", {Topic("t")});
  Leave(1);
  EXPECT_THAT(BrokersOf("t"), IsEmpty());
  EXPECT_OK(Register(2, Hello("a", "a-0", 0)));
  EXPECT_THAT(changes_.send_table, IsEmpty());
  EXPECT_THAT(changes_.topics, ElementsAre("t"));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
  EXPECT_EQ(table_->counts().tables, 1u);
}

TEST_F(RouteTableTest, ADataVersionDiffersInAnyOfItsThreeNumbers) {
  Start();
  Join(1, "a", {Topic("t")});
  uint64_t session = 1;
  for (int which = 0; which < 3; ++which) {
    v1::Hello hello = Hello("a", "a-0", 0);
    v1::DataVersion& version = *hello.mutable_topics_version();
    if (which == 0) version.set_state_version(2);
    if (which == 1) version.set_counter(2);
    if (which == 2) version.set_timestamp_ms(2);
    Leave(session);
    EXPECT_OK(Register(++session, hello));
    EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(session))) << which;
  }
}

TEST_F(RouteTableTest, ChangesAreAppliedToTheVersionThatTheyAreOf) {
  Start();
  Join(1, "a", {Topic("t"), Topic("u")});
  EXPECT_OK(Change(1, 1, {Topic("t", 5), Topic("v")}, {"u", "never"}));
  EXPECT_THAT(changes_.topics, UnorderedElementsAre("t", "u", "v"));
  EXPECT_THAT(changes_.send_table, IsEmpty());
  EXPECT_EQ(table_->FindRoute("t").queues(0).queues(), 5u);
  EXPECT_THAT(BrokersOf("u"), IsEmpty());
}

TEST_F(RouteTableTest, AfterAChangeThatIsMissingTheTableIsAskedFor) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(Change(1, 2, {Topic("v")}));
  EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(1)));
  EXPECT_THAT(BrokersOf("v"), IsEmpty());
  EXPECT_OK(Change(1, 3, {Topic("w")}));
  EXPECT_THAT(changes_.send_table, IsEmpty()) << "it is on its way";
  EXPECT_OK(Tell(1, {Topic("v"), Topic("w")}, 4));
  EXPECT_THAT(BrokersOf("t"), IsEmpty());
  EXPECT_THAT(BrokersOf("w"), ElementsAre("a"));
}

TEST_F(RouteTableTest, WhatIsTheSameIsNoChange) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(Change(1, 1, {Topic("t")}));
  EXPECT_THAT(changes_.topics, IsEmpty());
}

// 1.5.3, by session instead of by address.
TEST_F(RouteTableTest, ABrokenSessionIsOutAtOnce) {
  Start();
  Join(1, "a", {Topic("t")});
  Join(2, "b", {Topic("t")});
  Leave(1);
  EXPECT_THAT(changes_.topics, ElementsAre("t"));
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("b"));
}

// 1.5.1
TEST_F(RouteTableTest, ASilentSessionIsOutAfterItsTime) {
  Start();
  Join(1, "a", {Topic("t")});
  Step(milliseconds(9'999));
  EXPECT_THAT(changes_.ended, IsEmpty());
  table_->Hear(SessionId(1), now_);
  Step(milliseconds(9'999));
  EXPECT_THAT(changes_.ended, IsEmpty());
  Step(milliseconds(1));
  ASSERT_THAT(changes_.ended, SizeIs(1));
  EXPECT_THAT(changes_.ended[0].reason, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(BrokersOf("t"), IsEmpty());
}

// 1.5.6, mended.
TEST_F(RouteTableTest, TheEndOfAnOldSessionDoesNotTouchTheNewOne) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(Register(2, Hello("a", "a-0", 0)));
  ASSERT_THAT(changes_.ended, SizeIs(1));
  EXPECT_EQ(changes_.ended[0].session, SessionId(1));
  EXPECT_THAT(changes_.ended[0].reason, StatusIs(absl::StatusCode::kAborted));
  Leave(1);
  EXPECT_THAT(changes_.groups, IsEmpty());
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
}

TEST_F(RouteTableTest, AnOlderProcessOfTheSameMemberIsRefused) {
  Start();
  v1::Hello newer = Hello("a", "a-0", 0);
  newer.mutable_identity()->set_incarnation(2);
  EXPECT_OK(Register(1, newer));
  EXPECT_THAT(Register(2, Hello("a", "a-0", 0, 99)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("started anew")));
  EXPECT_EQ(table_->counts().refused, 1u);
}

// 1.3.6
TEST_F(RouteTableTest, OfTwoMembersWithOneIdTheHigherEpochIsIn) {
  Start();
  EXPECT_OK(Register(1, Hello("a", "x", 0, 3)));
  EXPECT_THAT(Register(2, Hello("a", "y", 0, 2)), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Register(2, Hello("a", "y", 0, 3)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has the id 0")));
  EXPECT_OK(Register(2, Hello("a", "y", 0, 4)));
  ASSERT_THAT(changes_.ended, SizeIs(1));
  EXPECT_EQ(changes_.ended[0].session, SessionId(1));
  EXPECT_EQ(table_->FindGroup("a").epoch(), 4u);
  EXPECT_EQ(table_->FindGroup("a").members(0).endpoints().addresses(0).host(), "y");
}

TEST_F(RouteTableTest, AMasterThatASlaveHasOutlivedIsRefused) {
  Start();
  EXPECT_OK(Register(1, Hello("a", "y", 1, 5)));
  EXPECT_THAT(Register(2, Hello("a", "x", 0, 4)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("epoch 5 already")));
  EXPECT_OK(Register(2, Hello("a", "x", 0, 5)));
}

// 1.3.5
TEST_F(RouteTableTest, ASlaveThatBecomesMasterSaysSoInItsSession) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(Register(2, Hello("a", "a-1", 1)));
  Leave(1);
  EXPECT_OK(Register(2, Hello("a", "a-1", 0, 2)));
  EXPECT_THAT(changes_.topics, IsEmpty()) << "its topics have not changed";
  const v1::BrokerGroup group = table_->FindGroup("a");
  ASSERT_EQ(group.members_size(), 1);
  EXPECT_EQ(group.members(0).id(), 0);
  EXPECT_EQ(group.epoch(), 2u);
  EXPECT_FALSE(group.read_only());
}

TEST_F(RouteTableTest, ASessionIsOfOneMember) {
  Start();
  EXPECT_OK(Register(1, Hello("a", "a-0", 0)));
  EXPECT_THAT(Register(1, Hello("b", "a-0", 0)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RouteTableTest, NamesOfGroupsAreUniqueInAllClusters) {
  Start();
  EXPECT_OK(Register(1, Hello("a", "a-0", 0)));
  v1::Hello other = Hello("a", "a-1", 1);
  other.set_cluster("d");
  EXPECT_THAT(Register(2, other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in cluster c, not in d")));
  Leave(1);
  EXPECT_OK(Register(2, other));
}

TEST_F(RouteTableTest, AHelloThatMakesNoSenseIsRefusedAndLeavesNoTrace) {
  Start();
  const auto refused = [&](auto spoil) {
    v1::Hello hello = Hello("a", "a-0", 0);
    spoil(hello);
    EXPECT_THAT(Register(1, hello), StatusIs(absl::StatusCode::kInvalidArgument))
        << hello.ShortDebugString();
  };
  refused([](v1::Hello& hello) { hello.mutable_identity()->clear_broker_group(); });
  refused([](v1::Hello& hello) { hello.mutable_identity()->clear_member(); });
  refused([](v1::Hello& hello) { hello.mutable_identity()->set_member(std::string(256, 'x')); });
  refused([](v1::Hello& hello) { hello.clear_cluster(); });
  refused([](v1::Hello& hello) { hello.clear_role(); });
  refused([](v1::Hello& hello) { hello.set_role(v1::SLAVE); });
  refused([](v1::Hello& hello) { hello.set_id(1); });
  refused([](v1::Hello& hello) { hello.clear_endpoints(); });
  refused(
      [](v1::Hello& hello) { hello.mutable_endpoints()->mutable_addresses(0)->set_port(65'536); });
  refused([](v1::Hello& hello) { hello.set_zone(std::string(256, 'x')); });
  EXPECT_EQ(table_->counts().groups, 0u);
}

TEST_F(RouteTableTest, ATopicThatMakesNoSenseIsLeftOut) {
  Start();
  Join(1, "a", {});
  uint64_t version = 1;
  const auto left_out = [&](auto spoil) {
    EXPECT_OK(Change(1, version++, {Topic("t")}));
    v1::RegisteredTopic topic = Topic("t");
    spoil(topic);
    EXPECT_OK(Change(1, version++, {topic, Topic("other")}));
    EXPECT_THAT(changes_.left_out, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(BrokersOf("t"), SizeIs(topic.topic().name() == "t" ? 0 : 1));
    EXPECT_THAT(BrokersOf("other"), ElementsAre("a"));
  };
  left_out([](v1::RegisteredTopic& topic) { topic.mutable_topic()->clear_name(); });
  left_out([](v1::RegisteredTopic& topic) { topic.set_queues(0); });
  left_out([](v1::RegisteredTopic& topic) { topic.set_write_queues(3); });
  left_out([](v1::RegisteredTopic& topic) { topic.clear_permission(); });
  EXPECT_EQ(table_->counts().left_out, 4u);
}

TEST_F(RouteTableTest, NothingIsTakenFromASessionWithoutAHelloOrThatHasEnded) {
  Start();
  EXPECT_THAT(Tell(1, {}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("hello")));
  EXPECT_THAT(Change(1, 1, {}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("hello")));
  Join(1, "a", {Topic("t")});
  EXPECT_TRUE(table_->IsRegistered(SessionId(1)));
  EXPECT_OK(Register(2, Hello("a", "a-0", 0)));
  EXPECT_FALSE(table_->IsRegistered(SessionId(1)));
  EXPECT_THAT(Change(1, 1, {Topic("u")}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RouteTableTest, ATableThatNobodyAskedForIsRefused) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_THAT(Tell(1, {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
}

// 1.3.9
TEST_F(RouteTableTest, OnlyTheMastersTopicsCount) {
  Start();
  Join(1, "a", {Topic("t")});
  v1::Hello slave = Hello("a", "a-1", 1);
  *slave.mutable_topics_version() = Version(8);
  EXPECT_OK(Register(2, slave));
  EXPECT_THAT(changes_.send_table, IsEmpty());
  EXPECT_OK(Change(2, 8, {Topic("u")}));
  EXPECT_THAT(BrokersOf("u"), IsEmpty());
}

// 1.3.9, the prime slave
TEST_F(RouteTableTest, WithoutAMasterTheSlaveWithTheSmallestIdIsAskedForTopicsItHasAndOthersNot) {
  Start();
  Join(1, "a", {Topic("t")});
  v1::Hello second = Hello("a", "a-2", 2);
  *second.mutable_topics_version() = Version(8);
  EXPECT_OK(Register(2, second));
  v1::Hello first = Hello("a", "a-1", 1);
  *first.mutable_topics_version() = Version(9);
  EXPECT_OK(Register(3, first));
  Leave(1);
  EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(3)));
  EXPECT_OK(Tell(3, {Topic("t"), Topic("u")}, 9));
  EXPECT_THAT(BrokersOf("u"), ElementsAre("a"));
}

// 1.6.2
TEST_F(RouteTableTest, ASlaveStandsInForTheMasterAndIsReadOnly) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(Register(2, Hello("a", "a-2", 2)));
  EXPECT_OK(Register(3, Hello("a", "a-1", 1)));
  EXPECT_FALSE(table_->FindGroup("a").read_only());
  Leave(1);
  EXPECT_THAT(changes_.topics, IsEmpty()) << "a change of the group, however many topics it has";
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  const v1::BrokerGroup group = table_->FindGroup("a");
  EXPECT_TRUE(group.read_only());
  ASSERT_EQ(group.members_size(), 2);
  EXPECT_EQ(group.members(0).id(), 0);
  EXPECT_EQ(group.members(0).endpoints().addresses(0).host(), "a-1");
  EXPECT_EQ(group.members(1).id(), 2);
  const v2::QueryRouteResponse route = Query("t");
  ASSERT_EQ(route.message_queues_size(), 2);
  EXPECT_EQ(route.message_queues(0).permission(), v2::READ);
  EXPECT_EQ(route.message_queues(0).broker().id(), 0);
  EXPECT_EQ(table_->DescribeGroup("a", now_)->acting_master(), "a-1");
}

TEST_F(RouteTableTest, NobodyStandsInWhoMayNot) {
  Start();
  Join(1, "a", {Topic("t")});
  v1::Hello slave = Hello("a", "a-1", 1);
  slave.set_acting_master_allowed(false);
  EXPECT_OK(Register(2, slave));
  v1::Hello learner = Hello("a", "a-2", 2);
  learner.set_role(v1::LEARNER);
  EXPECT_OK(Register(3, learner));
  Leave(1);
  EXPECT_EQ(table_->DescribeGroup("a", now_)->acting_master(), "");
  EXPECT_EQ(Query("t").message_queues_size(), 0);
  EXPECT_EQ(table_->FindGroup("a").members(0).id(), 1);
}

// 1.3.12 and 1.3.13: all members are told of a change of the group.
TEST_F(RouteTableTest, EveryMemberOfAGroupHearsOfItsChanges) {
  Start();
  Join(1, "a", {});
  EXPECT_OK(Register(2, Hello("a", "a-1", 1)));
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  EXPECT_THAT(table_->SessionsOf("a"), UnorderedElementsAre(SessionId(1), SessionId(2)));
  const auto state = table_->DescribeGroup("a", now_);
  EXPECT_EQ(state->members(0).endpoints().addresses(0).host(), "a-0");
  EXPECT_EQ(state->members(0).role(), v1::MASTER);
}

// 1.5.4
TEST_F(RouteTableTest, AMemberIsUnregisteredByItsIdentity) {
  Start();
  Join(1, "a", {Topic("t")});
  v1::MemberIdentity identity = Hello("a", "a-0", 0).identity();
  identity.set_incarnation(9);
  EXPECT_THAT(table_->Unregister(identity, now_, changes_), StatusIs(absl::StatusCode::kNotFound));
  identity.set_incarnation(1);
  changes_ = {};
  EXPECT_OK(table_->Unregister(identity, now_, changes_));
  EXPECT_THAT(changes_.ended, SizeIs(1));
  EXPECT_THAT(BrokersOf("t"), IsEmpty());
  EXPECT_THAT(table_->Unregister(identity, now_, changes_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RouteTableTest, AGroupThatStaysAwayIsForgotten) {
  Start();
  Join(1, "a", {Topic("t")});
  Join(2, "b", {Topic("t")});
  Leave(1);
  EXPECT_THAT(table_->remembered_groups(), ElementsAre("a", "b"));
  table_->Hear(SessionId(2), now_ + seconds(600));
  Step(seconds(600));
  EXPECT_TRUE(changes_.remembered);
  EXPECT_THAT(changes_.topics, IsEmpty());
  EXPECT_THAT(table_->remembered_groups(), ElementsAre("b"));
  EXPECT_EQ(table_->counts().queues, 1u);
  EXPECT_EQ(table_->counts().topics, 1u);
}

TEST_F(RouteTableTest, AGroupThatIsOneTooManyIsRefused) {
  RouteTable::Options options;
  options.max_groups = 1;
  Start(options);
  EXPECT_OK(Register(1, Hello("a", "a-0", 0)));
  EXPECT_THAT(Register(2, Hello("b", "b-0", 0)), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(RouteTableTest, ATopicThatIsOneTooManyIsLeftOutAndItsBrokerStays) {
  RouteTable::Options options;
  options.max_topics = 2;
  Start(options);
  Join(1, "a", {Topic("t"), Topic("u"), Topic("v")});
  EXPECT_THAT(changes_.left_out, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("v")));
  EXPECT_OK(Change(1, 1, {Topic("w"), Topic("t", 5)}));
  EXPECT_EQ(table_->counts().left_out, 2u);
  EXPECT_TRUE(table_->IsRegistered(SessionId(1)));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
  EXPECT_EQ(table_->FindRoute("t").queues(0).queues(), 5u);
  EXPECT_THAT(BrokersOf("w"), IsEmpty());
}

TEST_F(RouteTableTest, WhatWasLeftOutIsAskedForInTheNextSession) {
  RouteTable::Options options;
  options.max_topics = 1;
  Start(options);
  Join(1, "a", {Topic("t"), Topic("u")});
  EXPECT_OK(Change(1, 1, {}, {"t"}));
  EXPECT_THAT(changes_.send_table, IsEmpty());
  Leave(1);
  v1::Hello hello = Hello("a", "a-0", 0);
  *hello.mutable_topics_version() = Version(2);
  EXPECT_OK(Register(2, hello));
  EXPECT_THAT(changes_.send_table, ElementsAre(SessionId(2)));
  EXPECT_OK(Tell(2, {Topic("u")}, 2));
  EXPECT_THAT(BrokersOf("u"), ElementsAre("a"));
  Leave(2);
  EXPECT_OK(Register(3, hello));
  EXPECT_THAT(changes_.send_table, IsEmpty()) << "nothing is missing any more";
}

}  // namespace
}  // namespace dunlin::nameservice
