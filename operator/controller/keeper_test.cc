#include "operator/controller/keeper.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>

#include "operator/k8s/json.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

namespace v1 = admin::v1;
using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

grpc::Status NoSuchThing() { return {grpc::StatusCode::NOT_FOUND, "there is no such thing"}; }

// A master that keeps what it is told, and obeys or refuses.
class Broker final : public v1::AdminService::Service {
 public:
  Broker() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Broker() override { server_->Shutdown(); }

  grpc::Status GetBroker(grpc::ServerContext* /*context*/, const v1::GetBrokerRequest* /*request*/,
                         v1::Broker* response) override {
    response->set_cluster("DefaultCluster");
    response->set_name("a");
    return grpc::Status::OK;
  }
  grpc::Status GetTopic(grpc::ServerContext* /*context*/, const v1::GetTopicRequest* request,
                        v1::GetTopicResponse* response) override {
    const auto found = topics.find(request->name());
    if (found == topics.end()) return NoSuchThing();
    *response->mutable_topic() = found->second;
    return grpc::Status::OK;
  }
  grpc::Status CreateTopic(grpc::ServerContext* /*context*/, const v1::CreateTopicRequest* request,
                           v1::Topic* response) override {
    return Put(request->topic(), response);
  }
  grpc::Status UpdateTopic(grpc::ServerContext* /*context*/, const v1::UpdateTopicRequest* request,
                           v1::Topic* response) override {
    return Put(request->topic(), response);
  }
  grpc::Status DeleteTopic(grpc::ServerContext* /*context*/, const v1::DeleteTopicRequest* request,
                           v1::DeleteTopicResponse* /*response*/) override {
    return topics.erase(request->name()) == 1 ? grpc::Status::OK : NoSuchThing();
  }
  grpc::Status GetGroup(grpc::ServerContext* /*context*/, const v1::GetGroupRequest* request,
                        v1::GetGroupResponse* response) override {
    const auto found = groups.find(request->name());
    if (found == groups.end()) return NoSuchThing();
    *response->mutable_group() = found->second;
    response->add_clients("one");
    return grpc::Status::OK;
  }
  grpc::Status CreateGroup(grpc::ServerContext* /*context*/, const v1::CreateGroupRequest* request,
                           v1::Group* response) override {
    *response = groups[request->group().name()] = request->group();
    return answer;
  }
  grpc::Status UpdateGroup(grpc::ServerContext* /*context*/, const v1::UpdateGroupRequest* request,
                           v1::Group* response) override {
    *response = groups[request->group().name()] = request->group();
    return answer;
  }
  grpc::Status DeleteGroup(grpc::ServerContext* /*context*/, const v1::DeleteGroupRequest* request,
                           v1::DeleteGroupResponse* /*response*/) override {
    return groups.erase(request->name()) == 1 ? grpc::Status::OK : NoSuchThing();
  }
  BrokerAt At() const {
    return {.cluster = "DefaultCluster",
            .group = "a",
            .address = fmt::format("127.0.0.1:{}", port_),
            .tls = false};
  }

  std::map<std::string, v1::Topic> topics;
  std::map<std::string, v1::Group> groups;
  grpc::Status answer;

 private:
  grpc::Status Put(const v1::Topic& topic, v1::Topic* response) {
    if (!answer.ok()) return answer;
    *response = topics[topic.name()] = topic;
    response->set_read_queues(topic.queues());
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class KeeperTest : public ::testing::Test {
 protected:
  Broker broker_;
  BrokerAdmin admin_;
  TopicKeeper topics_{admin_};
  ConsumerGroupKeeper groups_{admin_};
  Json topic_ = Json::parse(R"({"metadata": {"name": "orders"}, "spec": {"queues": 4}})");
  Json group_ = Json::parse(R"({"metadata": {"name": "billing"}, "spec": {"maxAttempts": 3}})");
};

TEST_F(KeeperTest, ATopicFromItsBeginningToItsEnd) {
  auto found = topics_.Look(broker_.At(), topic_);
  ASSERT_OK(found);
  EXPECT_FALSE(found->exists);
  found = topics_.Create(broker_.At(), topic_);
  ASSERT_OK(found);
  EXPECT_TRUE(found->exists);
  EXPECT_EQ(found->read_queues, 4);
  EXPECT_THAT(found->differences, IsEmpty());

  topic_["spec"]["queues"] = 6;
  found = topics_.Look(broker_.At(), topic_);
  ASSERT_OK(found);
  EXPECT_THAT(found->differences, ElementsAre("queues: 4, to be 6"));
  ASSERT_OK(topics_.Update(broker_.At(), topic_));
  EXPECT_EQ(broker_.topics["orders"].queues(), 6U);

  EXPECT_OK(topics_.Delete(broker_.At(), topic_));
  EXPECT_THAT(broker_.topics, IsEmpty());
  EXPECT_OK(topics_.Delete(broker_.At(), topic_));  // it is gone
}

TEST_F(KeeperTest, AResourceMadeAnewDoesNotMoveWhereItsGroupBegins) {
  group_["metadata"]["creationTimestamp"] = "2026-11-02T08:00:00Z";
  group_["spec"]["start"]["from"] = "Last";
  ASSERT_OK(groups_.Create(broker_.At(), group_));
  const std::string begin = broker_.groups["billing"].start().time().ShortDebugString();
  EXPECT_NE(begin, "");

  group_["metadata"]["creationTimestamp"] = "2026-11-04T08:00:00Z";
  group_["spec"]["maxAttempts"] = 5;
  const auto found = groups_.Look(broker_.At(), group_);
  ASSERT_OK(found);
  EXPECT_THAT(found->differences, ElementsAre("maxAttempts: 3, to be 5"));
  ASSERT_OK(groups_.Update(broker_.At(), group_));
  EXPECT_EQ(broker_.groups["billing"].max_attempts(), 5U);
  EXPECT_EQ(broker_.groups["billing"].start().time().ShortDebugString(), begin);
}

TEST_F(KeeperTest, AConsumerGroupAndItsConsumers) {
  ASSERT_OK(groups_.Create(broker_.At(), group_));
  EXPECT_EQ(broker_.groups["billing"].max_attempts(), 3U);
  const auto found = groups_.Look(broker_.At(), group_);
  ASSERT_OK(found);
  EXPECT_THAT(found->clients, ElementsAre("one"));
  EXPECT_OK(groups_.Delete(broker_.At(), group_));
  EXPECT_THAT(broker_.groups, IsEmpty());
}

TEST_F(KeeperTest, RefusalsAreTheBrokersOwn) {
  broker_.answer = {grpc::StatusCode::INVALID_ARGUMENT, "topic orders: too many queues"};
  EXPECT_THAT(topics_.Create(broker_.At(), topic_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too many queues")));
}

TEST_F(KeeperTest, NothingIsChangedAtABrokerOfAnotherGroup) {
  BrokerAt at = broker_.At();
  at.group = "b";
  broker_.topics["orders"].set_name("orders");
  EXPECT_THAT(topics_.Create(at, topic_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("is of broker group a")));
  EXPECT_THAT(topics_.Update(at, topic_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(topics_.Delete(at, topic_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(broker_.topics["orders"].queues(), 0U);
}

TEST_F(KeeperTest, NobodyAnswers) {
  BrokerAt at = broker_.At();
  at.address = "127.0.0.1:1";
  EXPECT_THAT(topics_.Look(at, topic_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(groups_.Look(at, group_), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace dunlin::op
