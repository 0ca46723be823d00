#include "operator/controller/group_control.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <memory>

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

namespace v1 = replication::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A member that says what it is told to.
class Member final : public v1::ReplicationService::Service {
 public:
  Member() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Member() override { server_->Shutdown(); }

  grpc::Status GetMember(grpc::ServerContext* /*context*/, const v1::GetMemberRequest* /*request*/,
                         v1::GetMemberResponse* response) override {
    *response = state;
    return grpc::Status::OK;
  }
  grpc::Status Switchover(grpc::ServerContext* /*context*/, const v1::SwitchoverRequest* request,
                          v1::SwitchoverResponse* /*response*/) override {
    asked = *request;
    return answer;
  }
  grpc::Status ChangeMembers(grpc::ServerContext* /*context*/,
                             const v1::ChangeMembersRequest* request,
                             v1::ChangeMembersResponse* /*response*/) override {
    change = *request;
    return answer;
  }
  std::string Address() const { return fmt::format("127.0.0.1:{}", port_); }

  v1::GetMemberResponse state;
  v1::SwitchoverRequest asked;
  v1::ChangeMembersRequest change;
  grpc::Status answer;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class GroupControlTest : public ::testing::Test {
 protected:
  GroupControlTest() {
    master_.state.set_group("orders");
    master_.state.set_member("orders-0");
    master_.state.set_role(v1::MASTER);
    master_.state.set_epoch(7);
    master_.state.add_in_sync("orders-0");
    master_.state.add_in_sync("orders-1");
    master_.state.add_members()->set_member("orders-0");
    v1::MemberAddress& joining = *master_.state.add_members();
    joining.set_member("orders-1");
    joining.set_learner(true);
    joining.set_joining(true);
  }
  GroupControl::Master Master() {
    return {.group = "orders",
            .member = "orders-0",
            .address = master_.Address(),
            .epoch = 7,
            .secret = "0123456789abcdef"};
  }
  absl::Status ToOne() { return control_.SwitchOver(Master(), "orders-1"); }
  static std::string Hex(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return text;
  }

  ManualClock clock_;
  GrpcGroupControl control_{"dunlin-operator", clock_};
  Member master_;
};

// A proof that was reckoned elsewhere, with Python's hmac.
TEST_F(GroupControlTest, AsksTheMasterWithTheGroupsSecret) {
  EXPECT_OK(ToOne());
  EXPECT_EQ(master_.asked.group(), "orders");
  EXPECT_EQ(master_.asked.successor(), "orders-1");
  const v1::Credential& credential = master_.asked.credential();
  EXPECT_EQ(credential.caller(), "dunlin-operator");
  EXPECT_EQ(credential.time_ms(), 1'700'000'000'000);
  EXPECT_EQ(Hex(credential.proof()),
            "50e8141391ea1dcbfccc6332f5732f44ff892dc5da4fa61672c0dbbc26862031");
}

// As members read theirs.
TEST_F(GroupControlTest, WhiteSpaceIsNoPartOfASecretAndAShortOneIsNone) {
  GroupControl::Master master = Master();
  master.secret = " 0123456789abcdef\n";
  EXPECT_OK(control_.SwitchOver(master, "orders-1"));
  EXPECT_EQ(Hex(master_.asked.credential().proof()),
            "50e8141391ea1dcbfccc6332f5732f44ff892dc5da4fa61672c0dbbc26862031");
  master.secret = "short";
  EXPECT_TRUE(absl::IsInvalidArgument(control_.SwitchOver(master, "orders-1")));
}

TEST_F(GroupControlTest, SaysWhyTheGroupDeclines) {
  master_.answer = {grpc::StatusCode::FAILED_PRECONDITION, "orders-1 is not in sync"};
  const absl::Status declined = ToOne();
  EXPECT_TRUE(absl::IsFailedPrecondition(declined));
  EXPECT_THAT(std::string(declined.message()), HasSubstr("not in sync"));
}

TEST_F(GroupControlTest, AsksOnlyInTheEpochThatWasSeen) {
  master_.state.set_epoch(8);
  EXPECT_TRUE(absl::IsFailedPrecondition(ToOne()));
  EXPECT_EQ(master_.asked.successor(), "");
}

// Proofs as above: the text that is proven is the one that replication.proto names.
TEST_F(GroupControlTest, AsksTheMasterToTakeAMemberInOrToRemoveIt) {
  EXPECT_OK(control_.ChangeMembers(Master(),
                                   {.member = "orders-3", .address = "host-3:10912", .epoch = 7}));
  EXPECT_EQ(master_.change.group(), "orders");
  EXPECT_EQ(master_.change.add().member(), "orders-3");
  EXPECT_EQ(master_.change.add().address(), "host-3:10912");
  EXPECT_FALSE(master_.change.add().learner());
  EXPECT_EQ(Hex(master_.change.credential().proof()),
            "014a462ca65d085c6fd22589af5c14cbc5989359d1e481fa18c16ff00804c114");
  EXPECT_OK(control_.ChangeMembers(Master(), {.member = "orders-3", .address = "", .epoch = 7}));
  EXPECT_EQ(master_.change.remove().member(), "orders-3");
  EXPECT_FALSE(master_.change.remove().force());
  EXPECT_EQ(Hex(master_.change.credential().proof()),
            "911af92f8f6d95e273158947ffda6f5ed974c54a6209bdbe8a062f8e214ab06c");
}

TEST_F(GroupControlTest, MembersAreNotChangedInAnotherEpoch) {
  master_.state.set_epoch(8);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      control_.ChangeMembers(Master(), {.member = "orders-3", .address = "", .epoch = 7})));
  EXPECT_FALSE(master_.change.has_remove());
}

TEST_F(GroupControlTest, WhoSaysThatHeIsMasterIsBelieved) {
  Member slave;
  slave.state.set_member("orders-1");
  slave.state.set_role(v1::SLAVE);
  slave.state.set_epoch(6);
  const auto said = control_.Ask({"127.0.0.1:1", slave.Address(), master_.Address()});
  ASSERT_OK(said);
  EXPECT_EQ(said->master, "orders-0");
  EXPECT_EQ(said->epoch, 7);
  EXPECT_THAT(said->in_sync, ElementsAre("orders-0", "orders-1"));
  EXPECT_THAT(said->members,
              ElementsAre(Pair("orders-0", Seat::kVoter), Pair("orders-1", Seat::kJoining)));
  EXPECT_EQ(said->hearsay, "");
  EXPECT_EQ(control_.Ask({slave.Address()})->master, "");
  EXPECT_EQ(control_.Ask({slave.Address()})->hearsay, "");
  slave.state.set_master("orders-0");
  EXPECT_EQ(control_.Ask({slave.Address()})->master, "");
  EXPECT_EQ(control_.Ask({slave.Address()})->hearsay, "orders-0");
  EXPECT_TRUE(absl::IsUnavailable(control_.Ask({"127.0.0.1:1"}).status()));
}

}  // namespace
}  // namespace dunlin::op
