#include "services/replicator/transport/peers.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::replicator {
namespace {

// Nobody listens at port 1.
std::unique_ptr<Peers> PeersThatAreAway(const Clock& clock) {
  return std::make_unique<Peers>(
      Identity{.group = "group", .member = "a", .others = {"b", "c"}, .secret = {}},
      std::map<MemberName, std::string>{{"b", "127.0.0.1:1"}, {"c", "127.0.0.1:1"}},
      Peers::Options{}, clock);
}

// The connections of both calls end in their callbacks, and nothing else of gRPC is there to keep
// its threads.
TEST(PeersTest, ConnectionsMayEndInCallbacks) {
  const SystemClock clock;
  for (int i = 0; i < 300; ++i) {
    const std::unique_ptr<Peers> peers = PeersThatAreAway(clock);
    peers->AskStates([](const MemberName&, const PeerState&) { FAIL() << "who answered?"; });
    if (i % 2 == 0) peers->Stop();
    peers->AskPromises(Epoch(1),
                       [](const MemberName&, const PromiseAnswer&) { FAIL() << "who answered?"; });
  }
}

// What a member says when it is asked.
class Member final : public v1::ReplicationService::Service {
 public:
  explicit Member(std::string name) : name_(std::move(name)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  const std::string& Address() const { return address_; }

  grpc::Status GetMember(grpc::ServerContext* /*context*/, const v1::GetMemberRequest* /*request*/,
                         v1::GetMemberResponse* response) override {
    response->set_member(name_);
    response->set_group("group");
    return grpc::Status::OK;
  }
  grpc::Status Reach(grpc::ServerContext* /*context*/, const v1::ReachRequest* request,
                     v1::ReachResponse* response) override {
    if (problem.empty()) return {grpc::StatusCode::UNIMPLEMENTED, ""};
    if (problem != "none") response->set_problem(problem + " of " + request->member());
    return grpc::Status::OK;
  }

  std::string problem = "none";  // empty: of a version that knows no Reach

 private:
  const std::string name_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

class ReachTest : public ::testing::Test {
 protected:
  absl::Status Reach(const MemberName& peer) {
    std::promise<absl::Status> told;
    peers_.Reach(peer, [&told](const absl::Status& reached) { told.set_value(reached); });
    return told.get_future().get();
  }
  absl::Status AskReached(const std::vector<MemberName>& from, const MemberName& peer) {
    std::promise<absl::Status> told;
    peers_.AskReached(from, peer,
                      [&told](const absl::Status& reached) { told.set_value(reached); });
    return told.get_future().get();
  }

  const SystemClock clock_;
  Member b_{"b"};
  Member c_{"c"};
  Peers peers_{Identity{.group = "group", .member = "a", .others = {"b", "c"}, .secret = {}},
               {{"b", b_.Address()},
                {"c", c_.Address()},
                {"away", "127.0.0.1:1"},
                {"d", b_.Address()},
                {"nameless", "no-such-host.invalid:10912"}},
               Peers::Options{},
               clock_};
};

TEST_F(ReachTest, WhoIsThere) {
  EXPECT_OK(Reach("b"));
  EXPECT_THAT(Reach("nobody"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Reach("away"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Reach("nameless"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(Reach("d").message()), ::testing::HasSubstr("is member 'b'"));
}

TEST_F(ReachTest, OthersAreAskedAndAllThatIsWrongIsTold) {
  EXPECT_OK(AskReached({}, "b"));
  EXPECT_OK(AskReached({"b", "c"}, "d"));
  b_.problem.clear();
  EXPECT_OK(AskReached({"b", "c"}, "d")) << "of an older version";
  c_.problem = "no name";
  EXPECT_THAT(std::string(AskReached({"b", "c"}, "d").message()),
              "c does not reach d: no name of d");
  b_.problem = "no way";
  const std::string both(AskReached({"b", "c", "away"}, "d").message());
  for (const char* part : {"b does not reach d: no way of d", "c does not reach d: no name of d",
                           "away does not say whether it reaches d"}) {
    EXPECT_THAT(both, ::testing::HasSubstr(part));
  }
}

}  // namespace
}  // namespace dunlin::replicator
