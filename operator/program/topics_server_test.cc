// Topics, consumer groups and users as resources, at a real broker.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/testing/child_process.h"
#include "operator/planner/resource_types.h"
#include "operator/program/testing/operator_fixture.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/request_signature.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A broker alone, at every pod's address.
class BrokerProcess {
 public:
  // `secret_file`: with access control, of its super user admin; empty: without.
  BrokerProcess(const std::string& directory, const std::string& group,
                const std::string& secret_file = "")
      : process_(Command(directory, group, secret_file), ""),
        stub_(admin::v1::AdminService::NewStub(
            grpc::CreateChannel("127.0.0.1:8081", grpc::InsecureChannelCredentials()))) {
    EXPECT_NE(process_.ReadLine(), "");  // it is ready
  }

  // nullopt: there is none.
  std::optional<admin::v1::Topic> Topic(const std::string& name) {
    admin::v1::GetTopicRequest request;
    request.set_name(name);
    admin::v1::GetTopicResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetTopic(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.topic();
  }
  std::optional<admin::v1::Group> Group(const std::string& name) {
    admin::v1::GetGroupRequest request;
    request.set_name(name);
    admin::v1::GetGroupResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetGroup(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.group();
  }
  // As somebody would with dunlinctl.
  void SetQueues(const std::string& topic, uint32_t queues) {
    admin::v1::UpdateTopicRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_topic()->set_queues(queues);
    admin::v1::Topic updated;
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->UpdateTopic(&context, request, &updated).ok());
  }

  // The code that whoever signs so is answered with when he asks for a topic.
  grpc::StatusCode AskFor(const std::string& topic, const Credentials& credentials) {
    admin::v1::GetTopicRequest request;
    request.set_name(topic);
    admin::v1::GetTopicResponse response;
    grpc::ClientContext context;
    const std::string now = SignedDateTime(std::chrono::system_clock::now());
    context.AddMetadata(kDateTimeHeader, now);
    context.AddMetadata(kAuthorizationHeader, Authorization(credentials, now));
    return stub_->GetTopic(&context, request, &response).error_code();
  }

 private:
  static std::vector<std::string> Command(const std::string& directory, const std::string& group,
                                          const std::string& secret_file) {
    std::vector<std::string> words = {"services/standalone/dunlin", "--data-dir", directory};
    for (const char* const setting :
         {"server.listen_address=127.0.0.1:8081", "name_service.enabled=false",
          "metrics.listen_address=127.0.0.1:0"}) {
      words.insert(words.end(), {"--set", setting});
    }
    words.insert(words.end(), {"--set", "broker.broker_name=" + group});
    if (secret_file.empty()) return words;
    words.insert(words.end(), {"--set", "access.enabled=true", "--set",
                               "access.super_user_secret_file=" + secret_file});
    return words;
  }

  k8s::ChildProcess process_;
  std::unique_ptr<admin::v1::AdminService::Stub> stub_;
};

TEST_F(OperatorServerTest, ATopicAndAConsumerGroupAtARealBroker) {
  const auto program = StartOperator();
  Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
  names["spec"] = Json::object();
  ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
  KubectlApply(R"(
apiVersion: dunlin.dev/v1alpha1
kind: Topic
metadata: {name: payments, namespace: shop}
spec:
  nameServiceRef: {name: names}
  queues: 4
  kinds: [Normal, Delay]
  retention: {maxAge: 72h, maxQueueBytes: 1Gi}
---
apiVersion: dunlin.dev/v1alpha1
kind: ConsumerGroup
metadata: {name: billing, namespace: shop}
spec:
  nameServiceRef: {name: names}
  maxAttempts: 5
  retry: {delays: [1s, 1m]}
  deletionPolicy: Delete
)");
  WaitForReason(TopicType(), "payments", "Reconciling", "NoBrokerGroups");
  Json group = GroupOf("orders", 1);
  group["spec"].erase("nameServers");
  group["spec"]["nameServiceRef"] = {{"name", "names"}};
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  WaitUntilReady("orders");
  // There is a master, whose broker does not answer yet.
  WaitForReason(TopicType(), "payments", "Reconciling", "Unreachable");
  BrokerProcess broker(directory_.path() + "/broker", "orders");
  WaitForReason(TopicType(), "payments", "Ready", "Kept");
  WaitForReason(ConsumerGroupType(), "billing", "Ready", "Kept");
  ASSERT_TRUE(broker.Topic("payments").has_value());
  EXPECT_EQ(broker.Topic("payments")->queues(), 4U);
  EXPECT_THAT(broker.Topic("payments")->kinds(), ElementsAre(admin::v1::NORMAL, admin::v1::DELAY));
  EXPECT_EQ(broker.Topic("payments")->retention().max_queue_bytes(), uint64_t{1} << 30);
  ASSERT_TRUE(broker.Group("billing").has_value());
  EXPECT_EQ(broker.Group("billing")->max_attempts(), 5U);
  EXPECT_THAT(broker.Group("billing")->retry_delays_ms(), ElementsAre(1000, 60'000));
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "mqt,mqcg"}),
              AllOf(HasSubstr("payments"), HasSubstr("Normal"), HasSubstr("billing")));

  // Changed, by whom it may be and by whom it may not.
  Patch("topic", "payments",
        R"({"spec": {"queues": 6, "kinds": ["Normal"], "compacted": true, "retention": null}})");
  Patch("consumergroup", "billing", R"({"spec": {"paused": true}})");
  WaitFor("both have changed", [&] {
    return broker.Topic("payments")->compacted() && broker.Group("billing")->paused();
  });
  EXPECT_EQ(broker.Topic("payments")->queues(), 6U);
  WaitForReason(TopicType(), "payments", "Ready", "Kept");
  broker.SetQueues("payments", 2);
  control_plane_.Kubectl({"-n", kSpace, "annotate", "topic/payments", "example.com/look=now"});
  WaitFor("drift is repaired", [&] { return broker.Topic("payments")->queues() == 6; });
  WaitFor("drift is told", [&] {
    return control_plane_.Kubectl({"-n", kSpace, "get", "events"}).find("queues: 2, to be 6") !=
           std::string::npos;
  });

  // What the broker refuses is told in its words.
  Patch("topic", "payments", R"({"spec": {"compacted": false}})");
  WaitForReason(TopicType(), "payments", "Stalled", "Refused");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "topic/payments", "-o", "yaml"}),
              HasSubstr("is compacted and stays so"));
  EXPECT_TRUE(broker.Topic("payments")->compacted());

  control_plane_.Kubectl(
      {"-n", kSpace, "delete", "topic/payments", "consumergroup/billing", "--timeout=60s"});
  EXPECT_TRUE(broker.Topic("payments").has_value());  // Retain
  EXPECT_FALSE(broker.Group("billing").has_value());  // Delete
}

TEST_F(OperatorServerTest, AUserAtARealBroker) {
  BrokerProcess broker(directory_.path() + "/broker", "orders",
                       WriteFile("secret", "of-the-admin"));
  const auto program = StartOperator();
  KubectlApply(R"(
apiVersion: v1
kind: Secret
metadata: {name: root, namespace: shop}
stringData: {accessKey: admin, secretKey: of-the-admin}
---
apiVersion: v1
kind: Secret
metadata: {name: billing-credentials, namespace: shop}
stringData: {accessKey: billing, secretKey: of-billing-1}
---
apiVersion: dunlin.dev/v1alpha1
kind: NameService
metadata: {name: names, namespace: shop}
spec: {}
---
apiVersion: dunlin.dev/v1alpha1
kind: Topic
metadata: {name: payments, namespace: shop}
spec: {nameServiceRef: {name: names}}
---
apiVersion: dunlin.dev/v1alpha1
kind: User
metadata: {name: billing, namespace: shop}
spec:
  nameServiceRef: {name: names}
  deletionPolicy: Delete
  description: writes bills
  permissions:
  - {resource: {type: Group, name: billing/, pattern: Prefix}, actions: [Sub, Get]}
  - {resource: {type: Namespace, name: staging}, actions: [All]}
  - resource: {type: Topic, pattern: Any}
    actions: [List, Get, Pub]
    decision: Deny
    sourceIps: [10.0.0.0/8]
  - resource: {type: Topic, name: payments}
    actions: [Get, Sub]
    sourceIps: ["127.0.0.0/8", "::1"]
  - {resource: {type: Cluster}, actions: [Get]}
)");
  Json group = GroupOf("orders", 1);
  group["spec"].erase("nameServers");
  group["spec"]["nameServiceRef"] = {{"name", "names"}};
  group["spec"]["access"] = {{"enabled", true}, {"superUserSecretName", "root"}};
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  WaitUntilReady("orders");
  WaitForReason(TopicType(), "payments", "Ready", "Kept");
  WaitForReason(UserType(), "billing", "Ready", "Kept");
  EXPECT_EQ(broker.AskFor("payments", {"billing", "of-billing-1"}), grpc::StatusCode::OK);
  EXPECT_EQ(broker.AskFor("others", {"billing", "of-billing-1"}),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(broker.AskFor("payments", {"billing", "wrong-one"}), grpc::StatusCode::UNAUTHENTICATED);

  Patch("secret", "billing-credentials", R"({"stringData": {"secretKey": "of-billing-2"}})");
  WaitFor("the other secret is in force", [&] {
    return broker.AskFor("payments", {"billing", "of-billing-2"}) == grpc::StatusCode::OK;
  });
  EXPECT_EQ(broker.AskFor("payments", {"billing", "of-billing-1"}),
            grpc::StatusCode::UNAUTHENTICATED);
  Patch("user", "billing", R"({"spec": {"enabled": false}})");
  WaitFor("it is refused", [&] {
    return broker.AskFor("payments", {"billing", "of-billing-2"}) != grpc::StatusCode::OK;
  });
  WaitForReason(UserType(), "billing", "Ready", "Kept");

  // What the broker refuses is told in its words.
  KubectlApply(R"(
apiVersion: dunlin.dev/v1alpha1
kind: User
metadata: {name: admin, namespace: shop}
spec: {nameServiceRef: {name: names}, credentials: {secretName: root}}
)");
  WaitForReason(UserType(), "admin", "Stalled", "Refused");
  control_plane_.Kubectl({"-n", kSpace, "delete", "user/billing", "--timeout=60s"});
  EXPECT_EQ(broker.AskFor("payments", {"billing", "of-billing-2"}),
            grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace dunlin::op
