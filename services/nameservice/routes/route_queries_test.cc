// What is answered: routes, zones, permissions, the time after a start, lists.

#include <string>
#include <vector>

#include "services/nameservice/routes/route_table.h"
#include "services/nameservice/routes/testing/table_fixture.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// 1.6.1
TEST_F(RouteTableTest, ATopicThatNobodyHasIsNotFound) {
  Start();
  Join(1, "a", {Topic("t")});
  const v1::Route none = table_->FindRoute("n/x");
  EXPECT_EQ(none.status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(none.topic().resource_namespace(), "n");
  EXPECT_EQ(none.topic().name(), "x");
  EXPECT_NE(none.version(), 0u);
}

TEST_F(RouteTableTest, ARouteSaysWhatTheBrokerSaid) {
  Start();
  v1::RegisteredTopic topic = Topic("t", 4);
  topic.mutable_topic()->set_resource_namespace("n");
  topic.set_write_queues(3);
  topic.add_accept_message_types(v2::FIFO);
  Join(1, "a", {topic});
  const v1::Route route = table_->FindRoute("n/t");
  EXPECT_EQ(route.status().code(), v2::OK);
  ASSERT_EQ(route.queues_size(), 1);
  EXPECT_EQ(route.queues(0).topic_id(), 7u);
  EXPECT_EQ(route.queues(0).queues(), 4u);
  EXPECT_EQ(route.queues(0).write_queues(), 3u);
  EXPECT_EQ(route.queues(0).permission(), v2::READ_WRITE);
  EXPECT_THAT(route.queues(0).accept_message_types(), ElementsAre(v2::NORMAL, v2::FIFO));
}

TEST_F(RouteTableTest, QueuesThatTakeNoMoreMessagesAreReadOnly) {
  Start();
  v1::RegisteredTopic topic = Topic("t", 3);
  topic.set_write_queues(2);
  Join(1, "a", {topic});
  const v2::QueryRouteResponse route = Query("t");
  ASSERT_EQ(route.message_queues_size(), 3);
  EXPECT_EQ(route.message_queues(1).permission(), v2::READ_WRITE);
  EXPECT_EQ(route.message_queues(2).permission(), v2::READ);
  EXPECT_EQ(route.message_queues(2).id(), 2);
  EXPECT_EQ(route.message_queues(2).broker().endpoints().addresses(0).host(), "a-0");
}

v2::Endpoints Port(int port) {
  v2::Endpoints endpoints;
  endpoints.add_addresses()->set_host("some.name");
  endpoints.mutable_addresses(0)->set_port(port);
  return endpoints;
}

TEST_F(RouteTableTest, WhoComesByAPortThatNobodyInsideHasIsToldExternalAddresses) {
  Start();
  table_->AddInsidePort(9876);
  v1::Hello hello = Hello("a", "a-0", 0);
  hello.mutable_external_endpoints()->set_scheme(v2::DOMAIN_NAME);
  hello.mutable_external_endpoints()->add_addresses()->set_host("a.example.com");
  hello.mutable_external_endpoints()->mutable_addresses(0)->set_port(8181);
  EXPECT_OK(table_->Register(SessionId(1), hello, now_, changes_));
  EXPECT_OK(Tell(1, {Topic("t", 1)}));
  const auto host_of = [](const v2::Endpoints& endpoints) { return endpoints.addresses(0).host(); };
  const auto told = [&](const v2::Endpoints& reached) {
    const auto queues = table_->FindQueues(Topic("t").topic(), "t", {}, reached);
    const v1::BrokerGroup group = table_->FindGroup("a", reached);
    v1::ListBrokerGroupsRequest list;
    *list.mutable_endpoints() = reached;
    const v1::ListBrokerGroupsResponse listed = table_->ListGroups(list, now_);
    EXPECT_EQ(host_of(queues[0].queue.broker().endpoints()), host_of(group.members(0).endpoints()));
    EXPECT_EQ(host_of(listed.groups(0).members(0).endpoints()),
              host_of(group.members(0).endpoints()));
    EXPECT_EQ(host_of(listed.groups(0).members(0).external_endpoints()), "a.example.com");
    return host_of(group.members(0).endpoints());
  };
  EXPECT_EQ(told({}), "a-0") << "who does not say";
  EXPECT_EQ(told(Port(8081)), "a-0");
  EXPECT_EQ(told(Port(9876)), "a-0");
  EXPECT_EQ(told(Port(8181)), "a.example.com");
  EXPECT_EQ(told(Port(30'876)), "a.example.com");
  // Members that have moved and gone do not count.
  hello.mutable_endpoints()->mutable_addresses(0)->set_port(8082);
  changes_ = {};
  EXPECT_OK(table_->Register(SessionId(1), hello, now_, changes_));
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  EXPECT_EQ(told(Port(8081)), "a.example.com");
  EXPECT_EQ(told(Port(8082)), "a-0");
}

TEST_F(RouteTableTest, AMemberWithoutAnExternalAddressIsToldAsItIs) {
  Start();
  Join(1, "a", {Topic("t", 1)});
  EXPECT_EQ(table_->FindGroup("a", Port(30'876)).members(0).endpoints().addresses(0).host(), "a-0");
}

TEST_F(RouteTableTest, AnExternalAddressOfNoUseIsRefused) {
  Start();
  v1::Hello hello = Hello("a", "a-0", 0);
  hello.mutable_external_endpoints()->add_addresses()->set_host("a.example.com");
  EXPECT_THAT(table_->Register(SessionId(1), hello, now_, changes_),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("port 0")));
}

TEST_F(RouteTableTest, QueuesOfBrokersAreNamedByTurns) {
  Start();
  Join(1, "a", {Topic("t", 1)});
  Join(2, "b", {Topic("t", 3)});
  const v2::QueryRouteResponse route = Query("t");
  std::string order;
  for (const v2::MessageQueue& queue : route.message_queues()) {
    order += queue.broker().name() + std::to_string(queue.id()) + " ";
  }
  EXPECT_EQ(order, "a0 b0 b1 b2 ");
}

TEST_F(RouteTableTest, VersionsOfEqualRoutesAreEqualWhoeverTellsThem) {
  Start();
  Join(1, "a", {Topic("t")});
  const uint64_t version = table_->FindRoute("t").version();
  EXPECT_OK(Change(1, 1, {Topic("t", 3)}));
  EXPECT_NE(table_->FindRoute("t").version(), version);
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_EQ(table_->FindRoute("t").version(), version);
}

// 1.7
TEST_F(RouteTableTest, WithoutPermissionToWriteAGroupIsReadOnlyWhateverItsTopics) {
  Start();
  Join(1, "a", {Topic("t"), Topic("u")});
  changes_ = {};
  EXPECT_THAT(table_->SetGroupWritable("a", false, changes_), IsOkAndHolds(2u));
  EXPECT_THAT(changes_.groups, ElementsAre("a"));
  EXPECT_THAT(changes_.topics, IsEmpty());
  EXPECT_TRUE(changes_.remembered);
  EXPECT_TRUE(table_->FindGroup("a").read_only());
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ);
  EXPECT_OK(Change(1, 1, {Topic("t", 5)}));
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ) << "a new version gives it back";

  RouteTable::Options options;
  options.read_only = table_->read_only_groups();
  Start(options);
  Join(1, "a", {Topic("t")});
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ) << "a restart gives it back";

  changes_ = {};
  EXPECT_THAT(table_->SetGroupWritable("a", true, changes_), IsOkAndHolds(1u));
  EXPECT_EQ(Query("t").message_queues(0).permission(), v2::READ_WRITE);
  changes_ = {};
  EXPECT_OK(table_->SetGroupWritable("a", true, changes_));
  EXPECT_THAT(changes_.groups, IsEmpty());
  EXPECT_THAT(table_->SetGroupWritable("b", true, changes_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RouteTableTest, AGroupThatWasForgottenCanBeMadeWritable) {
  Start();
  Join(1, "a", {Topic("t")});
  EXPECT_OK(table_->SetGroupWritable("a", false, changes_));
  Leave(1);
  Step(seconds(600));
  EXPECT_THAT(table_->SetGroupWritable("a", false, changes_),
              StatusIs(absl::StatusCode::kNotFound));
  changes_ = {};
  EXPECT_THAT(table_->SetGroupWritable("a", true, changes_), IsOkAndHolds(0u));
  EXPECT_TRUE(changes_.remembered);
  EXPECT_THAT(table_->read_only_groups(), IsEmpty());
  EXPECT_THAT(table_->SetGroupWritable("a", true, changes_), StatusIs(absl::StatusCode::kNotFound));
}

// 1.6.6
TEST_F(RouteTableTest, AZoneSeesItsOwnBrokersAndThoseWithoutAMaster) {
  Start();
  v1::Hello hello = Hello("a", "a-0", 0);
  hello.set_zone("z1");
  EXPECT_OK(Register(1, hello));
  EXPECT_OK(Tell(1, {Topic("t")}));
  hello = Hello("b", "b-0", 0);
  hello.set_zone("z2");
  EXPECT_OK(Register(2, hello));
  EXPECT_OK(Tell(2, {Topic("t")}));
  hello = Hello("c", "c-1", 1);
  hello.set_zone("z2");
  EXPECT_OK(Register(3, hello));
  EXPECT_OK(Tell(3, {Topic("t")}));
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(BrokersOf("t", "z1"), ElementsAre("a", "c"));
  EXPECT_THAT(BrokersOf("t", "elsewhere"), ElementsAre("c"));
  EXPECT_EQ(Query("t", "z2").message_queues(0).broker().name(), "b");
}

// A master in z1 goes, and a slave in z2 becomes master.
TEST_F(RouteTableTest, WhoWatchesAZoneHearsOfGroupsThatComeIntoItAndLeaveIt) {
  Start();
  table_->WatchZones();
  v1::Hello master = Hello("a", "a-0", 0);
  master.set_zone("z1");
  EXPECT_OK(Register(1, master));
  EXPECT_OK(Tell(1, {Topic("t")}));
  v1::Hello slave = Hello("a", "a-1", 1);
  slave.set_zone("z2");
  EXPECT_OK(Register(2, slave));
  EXPECT_THAT(changes_.topics, IsEmpty());
  Leave(1);
  EXPECT_THAT(changes_.topics, ElementsAre("t"));
  EXPECT_THAT(BrokersOf("t", "z2"), ElementsAre("a"));
  slave.set_id(0);
  slave.set_role(v1::MASTER);
  slave.set_epoch(2);
  EXPECT_OK(Register(2, slave));
  EXPECT_THAT(changes_.topics, ElementsAre("t"));
  EXPECT_THAT(BrokersOf("t", "z1"), IsEmpty());
  slave.set_zone("z3");
  EXPECT_OK(Register(2, slave));
  EXPECT_THAT(changes_.topics, ElementsAre("t"));
  EXPECT_OK(Register(2, slave));
  EXPECT_THAT(changes_.topics, IsEmpty());
}

// 1.6.3
TEST_F(RouteTableTest, AfterAStartNothingIsToldUntilAllGroupsAreBack) {
  RouteTable::Options options;
  options.awaited = {"a", "b"};
  StartWaiting(options);
  EXPECT_FALSE(table_->ready());
  Join(1, "a", {Topic("t")});
  EXPECT_FALSE(table_->ready());
  EXPECT_THAT(table_->ListClusters().awaited_groups(), ElementsAre("b"));
  EXPECT_OK(Register(2, Hello("b", "b-0", 0)));
  EXPECT_FALSE(table_->ready()) << "its topics are not there";
  EXPECT_OK(Tell(2, {Topic("t")}));
  EXPECT_TRUE(changes_.ready);
  EXPECT_TRUE(table_->ready());
  Leave(1);
  EXPECT_TRUE(table_->ready());
}

TEST_F(RouteTableTest, AGroupThatDoesNotComeBackIsWaitedForOnlySoLong) {
  RouteTable::Options options;
  options.awaited = {"gone"};
  StartWaiting(options);
  Step(milliseconds(9'999));
  EXPECT_FALSE(table_->ready());
  EXPECT_THAT(table_->remembered_groups(), ElementsAre("gone"));
  Step(milliseconds(1));
  EXPECT_TRUE(changes_.ready);
  EXPECT_THAT(table_->remembered_groups(), IsEmpty());
  Step(milliseconds(1));
  EXPECT_FALSE(changes_.ready) << "once is enough";
}

TEST_F(RouteTableTest, WhoRemembersNobodyWaitsTheWholeTime) {
  StartWaiting({});
  Join(1, "a", {Topic("t")});
  EXPECT_FALSE(table_->ready());
  Step(seconds(9));
  EXPECT_FALSE(table_->ready());
  table_->Hear(SessionId(1), now_);
  Step(seconds(1));
  EXPECT_TRUE(table_->ready());
  EXPECT_THAT(BrokersOf("t"), ElementsAre("a"));
}

TEST_F(RouteTableTest, ListsComeInPages) {
  Start();
  Join(1, "a", {Topic("t1"), Topic("t3")});
  Join(2, "b", {Topic("t2")});
  Join(3, "c", {Topic("t3")});
  v1::ListTopicsRequest topics;
  topics.set_page_size(2);
  v1::ListTopicsResponse page = table_->ListTopics(topics);
  ASSERT_EQ(page.routes_size(), 2);
  EXPECT_EQ(page.routes(1).topic().name(), "t2");
  EXPECT_EQ(page.next(), "t2");
  topics.set_after(page.next());
  page = table_->ListTopics(topics);
  ASSERT_EQ(page.routes_size(), 1);
  EXPECT_EQ(page.routes(0).queues_size(), 2);
  EXPECT_EQ(page.next(), "");
  topics.Clear();
  topics.set_broker_group("a");
  EXPECT_EQ(table_->ListTopics(topics).routes_size(), 2);

  v1::ListBrokerGroupsRequest groups;
  groups.set_page_size(2);
  v1::ListBrokerGroupsResponse listed = table_->ListGroups(groups, now_);
  ASSERT_EQ(listed.groups_size(), 2);
  EXPECT_EQ(listed.next(), "b");
  groups.set_after("b");
  listed = table_->ListGroups(groups, now_);
  ASSERT_EQ(listed.groups_size(), 1);
  EXPECT_EQ(listed.groups(0).name(), "c");
  EXPECT_EQ(listed.groups(0).members(0).role(), v1::MASTER);
  groups.set_cluster("other");
  EXPECT_EQ(table_->ListGroups(groups, now_).groups_size(), 0);

  const v1::ListClustersResponse clusters = table_->ListClusters();
  ASSERT_EQ(clusters.clusters_size(), 1);
  EXPECT_THAT(clusters.clusters(0).broker_groups(), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(clusters.complete());
}

// However many topics of others there are, a page ends soon.
TEST_F(RouteTableTest, APageOfAListLooksAtSoManyTopicsAndNoMore) {
  Start();
  std::vector<v1::RegisteredTopic> topics;
  for (int i = 0; i < 25'000; ++i) topics.push_back(Topic("t" + std::to_string(100'000 + i)));
  Join(1, "a", topics);
  Join(2, "b", {Topic("z")});
  v1::ListTopicsRequest request;
  request.set_broker_group("b");
  int pages = 0;
  std::vector<std::string> found;
  do {
    const v1::ListTopicsResponse page = table_->ListTopics(request);
    for (const v1::Route& route : page.routes()) found.push_back(route.topic().name());
    request.set_after(page.next());
    ++pages;
  } while (!request.after().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(found, ElementsAre("z"));
}

TEST_F(RouteTableTest, AListLeavesOutWhatHasGone) {
  Start();
  Join(1, "a", {Topic("t")});
  Leave(1);
  EXPECT_EQ(table_->ListTopics({}).routes_size(), 0);
  EXPECT_EQ(table_->ListClusters().clusters_size(), 0);
  EXPECT_EQ(table_->ListGroups({}, now_).groups(0).members_size(), 0) << "remembered";
}

}  // namespace
}  // namespace dunlin::nameservice
