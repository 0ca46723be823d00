// Access control over the real services: nobody gets past it, and each user as far as it may.

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/request_signature.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Admin = admin::v1::AdminService::Stub;
using Messaging = v2::MessagingService::Stub;
using Rule = admin::v1::AccessRule;

constexpr char kAdminSecret[] = "secret-of-admin";

Rule MakeRule(Rule::Resource resource, const std::string& name,
              const std::vector<Rule::Action>& actions) {
  Rule rule;
  rule.set_resource(resource);
  rule.set_name(name);
  if (name.empty()) rule.set_pattern(Rule::ANY);
  for (const Rule::Action action : actions) rule.add_actions(action);
  return rule;
}

class AccessTest : public MessagingServiceTest {
 protected:
  AccessTest() {
    StopAll();
    const std::string file = directory_.path() + "/secret";
    std::ofstream(file) << kAdminSecret;
    config_.mutable_access()->set_enabled(true);
    config_.mutable_access()->set_super_user_secret_file(file);
    config_.mutable_broker()->set_auto_create_topics(false);
    Restart();
    admin::v1::CreateTopicRequest topic;
    for (const char* name : {"orders", "other"}) {
      topic.mutable_topic()->set_name(name);
      topic.mutable_topic()->set_queues(1);
      EXPECT_TRUE(Command("admin", &Admin::CreateTopic, topic).ok());
    }
  }

  void Restart() {
    StopAll();
    Start();
    admin_ = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
    streams_ = v1::StreamService::NewStub(server_->InProcessChannel({}));
  }

  // Signed by `user`; empty: by nobody. What secret they have is their name's.
  static std::unique_ptr<grpc::ClientContext> As(const std::string& user) {
    auto context = Context();
    if (user.empty()) return context;
    const std::string time = SignedDateTime(std::chrono::system_clock::now());
    context->AddMetadata(kDateTimeHeader, time);
    context->AddMetadata(kAuthorizationHeader, Authorization({user, "secret-of-" + user}, time));
    return context;
  }

  template <typename Request, typename Response>
  grpc::Status Command(const std::string& user,
                       grpc::Status (Admin::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                       const Request& request, Response* answer = nullptr) {
    Response response;
    const grpc::Status status = (admin_.get()->*method)(As(user).get(), request, &response);
    if (answer != nullptr) *answer = response;
    return status;
  }

  admin::v1::User MakeUser(const std::string& name, const std::vector<Rule>& rules) {
    admin::v1::CreateUserRequest request;
    request.mutable_user()->set_name(name);
    request.mutable_user()->set_secret("secret-of-" + name);
    for (const Rule& rule : rules) *request.mutable_user()->add_rules() = rule;
    admin::v1::User made;
    const grpc::Status status = Command("admin", &Admin::CreateUser, request, &made);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return made;
  }

  void ChangeUser(const std::string& name, const std::vector<Rule>& rules) {
    admin::v1::UpdateUserRequest request;
    request.mutable_user()->set_name(name);
    for (const Rule& rule : rules) *request.mutable_user()->add_rules() = rule;
    EXPECT_TRUE(Command("admin", &Admin::UpdateUser, request).ok());
  }

  template <typename Request, typename Response>
  v2::Code CodeOf(const std::string& user,
                  grpc::Status (Messaging::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                  const Request& request) {
    Response response;
    const grpc::Status status = (stub_.get()->*method)(As(user).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status().code();
  }

  v2::Code SendAs(const std::string& user, const std::string& topic) {
    v2::SendMessageRequest request;
    AddMessage(request, topic, "body");
    return CodeOf(user, &Messaging::SendMessage, request);
  }

  v2::Code ReceiveAs(const std::string& user, const std::string& topic, const std::string& group) {
    auto context = As(user);
    auto stream = stub_->ReceiveMessage(context.get(), ReceiveRequest(topic, group));
    v2::ReceiveMessageResponse element;
    EXPECT_TRUE(stream->Read(&element));
    const v2::Code code = element.status().code();
    while (stream->Read(&element)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
    return code;
  }

  std::unique_ptr<Admin> admin_;
  std::unique_ptr<v1::StreamService::Stub> streams_;
};

// A call of any shape with one request; the first answer, and how it ended.
struct Outcome {
  std::string answer;
  grpc::Status status;
};

Outcome CallOnce(grpc::GenericStub& stub, const std::string& method, const std::string& bytes) {
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.AddMetadata("x-mq-client-id", "client");
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  int start = 0;
  int write = 0;
  int read = 0;
  int finish = 0;
  // Until that step is done; others may be before it.
  const auto await = [&queue](int* step) {
    for (;;) {
      void* tag = nullptr;
      bool ok = false;
      EXPECT_TRUE(queue.Next(&tag, &ok));
      if (tag == step) return ok;
    }
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(&start);
  await(&start);
  const grpc::Slice slice(bytes);
  // Neither waits for the other: in one process a write is done when the other side reads.
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), &write);
  Outcome outcome;
  for (;;) {
    grpc::ByteBuffer received;
    call->Read(&received, &read);
    if (!await(&read)) break;
    if (!outcome.answer.empty()) continue;
    grpc::Slice whole;
    EXPECT_TRUE(received.DumpToSingleSlice(&whole).ok());
    outcome.answer.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  call->Finish(&outcome.status, &finish);
  await(&finish);
  queue.Shutdown();
  for (void* tag = nullptr;;) {
    bool ok = false;
    if (!queue.Next(&tag, &ok)) return outcome;
  }
}

TEST_F(AccessTest, NoMethodIsOpenToStrangers) {
  grpc::GenericStub stub(server_->InProcessChannel({}));
  const auto& pool = *google::protobuf::DescriptorPool::generated_pool();
  int methods = 0;
  for (const char* service :
       {v2::MessagingService::service_full_name(), admin::v1::AdminService::service_full_name(),
        v1::StreamService::service_full_name(),
        nameservice::v1::RouteService::service_full_name()}) {
    const auto* descriptor = pool.FindServiceByName(service);
    ASSERT_NE(descriptor, nullptr);
    for (int i = 0; i < descriptor->method_count(); ++i) {
      const auto* method = descriptor->method(i);
      SCOPED_TRACE(method->full_name());
      ++methods;
      const Outcome outcome = CallOnce(stub, std::string("/") + service + "/" + method->name(), "");
      if (service != std::string(v2::MessagingService::service_full_name())) {
        EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
        EXPECT_EQ(outcome.answer, "");
        continue;
      }
      EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
      v2::SendMessageResponse answer;  // its status is where that of all answers is
      ASSERT_TRUE(answer.ParseFromString(outcome.answer));
      EXPECT_EQ(answer.status().code(), v2::UNAUTHORIZED);
      EXPECT_THAT(answer.status().message(), HasSubstr("not signed"));
    }
  }
  EXPECT_GE(methods, 50);
}

TEST_F(AccessTest, EachUserDoesWhatItMay) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  MakeUser("consumer", {MakeRule(Rule::TOPIC, "orders", {Rule::SUB}),
                        MakeRule(Rule::GROUP, "workers", {Rule::SUB})});
  EXPECT_EQ(SendAs("producer", "orders"), v2::OK);
  EXPECT_EQ(SendAs("producer", "other"), v2::UNAUTHORIZED);
  EXPECT_EQ(SendAs("consumer", "orders"), v2::UNAUTHORIZED);
  EXPECT_EQ(SendAs("admin", "other"), v2::OK);
  EXPECT_EQ(SendAs("nobody", "orders"), v2::UNAUTHORIZED);
  // Whether there is such a topic is not told either.
  EXPECT_EQ(SendAs("producer", "none"), v2::UNAUTHORIZED);
  EXPECT_EQ(SendAs("admin", "none"), v2::TOPIC_NOT_FOUND);

  EXPECT_NE(ReceiveAs("consumer", "orders", "workers"), v2::UNAUTHORIZED);
  EXPECT_EQ(ReceiveAs("consumer", "orders", "others"), v2::UNAUTHORIZED);
  EXPECT_EQ(ReceiveAs("consumer", "other", "workers"), v2::UNAUTHORIZED);
  EXPECT_EQ(ReceiveAs("producer", "orders", "workers"), v2::UNAUTHORIZED);

  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name("orders");
  EXPECT_EQ(CodeOf("producer", &Messaging::QueryRoute, route), v2::OK);
  EXPECT_EQ(CodeOf("consumer", &Messaging::QueryRoute, route), v2::OK);
  route.mutable_topic()->set_name("other");
  EXPECT_EQ(CodeOf("producer", &Messaging::QueryRoute, route), v2::UNAUTHORIZED);

  v2::HeartbeatRequest beat;
  beat.set_client_type(v2::PUSH_CONSUMER);
  beat.mutable_group()->set_name("workers");
  EXPECT_EQ(CodeOf("consumer", &Messaging::Heartbeat, beat), v2::OK);
  EXPECT_EQ(CodeOf("producer", &Messaging::Heartbeat, beat), v2::UNAUTHORIZED);
}

TEST_F(AccessTest, ClientsAreOfTheirUser) {
  MakeUser("consumer", {MakeRule(Rule::TOPIC, "orders", {Rule::SUB}),
                        MakeRule(Rule::GROUP, "workers", {Rule::SUB})});
  MakeUser("stranger", {});
  EXPECT_EQ(SendAs("admin", "orders"), v2::OK);
  EXPECT_EQ(ReceiveAs("consumer", "orders", "workers"), v2::OK);
  const auto clients = [&] {
    admin::v1::ListClientsResponse list;
    EXPECT_TRUE(Command("admin", &Admin::ListClients, {}, &list).ok());
    std::vector<std::string> names;
    for (const admin::v1::Client& client : list.clients()) names.push_back(client.client_id());
    return names;
  };
  EXPECT_THAT(clients(), Contains("consumer/client"));
  // The name of a client is no secret: with it alone nobody may end what it has.
  EXPECT_EQ(
      CodeOf("stranger", &Messaging::NotifyClientTermination, v2::NotifyClientTerminationRequest()),
      v2::OK);
  EXPECT_THAT(clients(), Contains("consumer/client"));
  EXPECT_EQ(
      CodeOf("consumer", &Messaging::NotifyClientTermination, v2::NotifyClientTerminationRequest()),
      v2::OK);
  EXPECT_THAT(clients(), Not(Contains("consumer/client")));
}

TEST_F(AccessTest, LeasesAndOffsetsAreOfThoseWhoMayConsume) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  v2::AckMessageRequest ack;
  ack.mutable_topic()->set_name("orders");
  ack.mutable_group()->set_name("workers");
  ack.add_entries()->set_receipt_handle("none");
  EXPECT_EQ(CodeOf("producer", &Messaging::AckMessage, ack), v2::UNAUTHORIZED);
  EXPECT_EQ(CodeOf("admin", &Messaging::AckMessage, ack), v2::INVALID_RECEIPT_HANDLE);
  v2::QueryOffsetRequest offset;
  offset.mutable_message_queue()->mutable_topic()->set_name("orders");
  offset.set_query_offset_policy(v2::END);
  EXPECT_EQ(CodeOf("producer", &Messaging::QueryOffset, offset), v2::UNAUTHORIZED);
  EXPECT_EQ(CodeOf("admin", &Messaging::QueryOffset, offset), v2::OK);
}

TEST_F(AccessTest, TelemetrySaysWhatMayNotBeDone) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  auto context = As("producer");
  auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PRODUCER);
  command.mutable_settings()->mutable_publishing()->add_topics()->set_name("other");
  stream->Write(command);
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::UNAUTHORIZED);
  EXPECT_THAT(answer.status().message(), HasSubstr("PUB on topic other"));
  command.mutable_settings()->mutable_publishing()->mutable_topics(0)->set_name("orders");
  stream->Write(command);
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::OK);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(AccessTest, WhoIsNobodyAnyMoreIsNotHeardOnItsOldStream) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  auto context = As("producer");
  auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PRODUCER);
  command.mutable_settings()->mutable_publishing()->add_topics()->set_name("orders");
  stream->Write(command);
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::OK);
  admin::v1::DeleteUserRequest deletion;
  deletion.set_name("producer");
  EXPECT_TRUE(Command("admin", &Admin::DeleteUser, deletion).ok());
  stream->Write(command);
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::UNAUTHORIZED);
  EXPECT_FALSE(stream->Read(&answer)) << "the stream ends";
}

TEST_F(AccessTest, ListsLeaveOutWhatIsDenied) {
  Rule no_orders = MakeRule(Rule::TOPIC, "orders", {Rule::ALL});
  no_orders.set_decision(Rule::DENY);
  MakeUser("lister", {MakeRule(Rule::TOPIC, "", {Rule::ALL}), no_orders});
  admin::v1::CreateTopicRequest create;
  create.mutable_topic()->set_name("refunds");
  EXPECT_TRUE(Command("admin", &Admin::CreateTopic, create).ok());
  const auto names = [&](const std::string& user) {
    admin::v1::ListTopicsResponse listed;
    EXPECT_TRUE(Command(user, &Admin::ListTopics, {}, &listed).ok());
    std::vector<std::string> names;
    for (const auto& topic : listed.topics()) names.push_back(topic.name());
    return names;
  };
  EXPECT_THAT(names("admin"), ::testing::IsSupersetOf({"orders", "refunds"}));
  EXPECT_THAT(names("lister"), ::testing::Contains("refunds"));
  EXPECT_THAT(names("lister"), ::testing::Not(::testing::Contains("orders")));
  // Nor as the name that a page ends with.
  admin::v1::ListTopicsRequest one;
  one.set_page_size(1);
  admin::v1::ListTopicsResponse page;
  EXPECT_TRUE(Command("lister", &Admin::ListTopics, one, &page).ok());
  EXPECT_EQ(page.topics_size(), 1);
  EXPECT_NE(page.next_page_token(), "orders");
}

// Made while everybody could make one; the file's is the one that counts.
TEST_F(AccessTest, AUserThatTheFileHidesMayGo) {
  StopAll();
  config_.mutable_access()->set_enabled(false);
  Restart();
  admin::v1::CreateUserRequest planted;
  planted.mutable_user()->set_name("admin");
  planted.mutable_user()->set_secret("somebody-elses");
  planted.mutable_user()->set_type(admin::v1::SUPER_USER);
  EXPECT_TRUE(Command("", &Admin::CreateUser, planted).ok());
  StopAll();
  config_.mutable_access()->set_enabled(true);
  Restart();
  admin::v1::DeleteUserRequest deletion;
  deletion.set_name("admin");
  EXPECT_TRUE(Command("admin", &Admin::DeleteUser, deletion).ok());
  EXPECT_THAT(Command("admin", &Admin::DeleteUser, deletion).error_message(),
              HasSubstr("access.super_user_secret_file"));
}

TEST_F(AccessTest, AnUpdateDoesNotEnableByTheWay) {
  MakeUser("producer", {});
  admin::v1::UpdateUserRequest update;
  update.mutable_user()->set_name("producer");
  update.mutable_user()->set_enabled(false);
  admin::v1::User updated;
  EXPECT_TRUE(Command("admin", &Admin::UpdateUser, update, &updated).ok());
  EXPECT_FALSE(updated.enabled());
  update.mutable_user()->clear_enabled();
  update.mutable_user()->set_secret("another-secret");
  EXPECT_TRUE(Command("admin", &Admin::UpdateUser, update, &updated).ok());
  EXPECT_FALSE(updated.enabled());
}

TEST_F(AccessTest, CommandsAreOfThoseWhoMayGiveThem) {
  MakeUser("reader", {MakeRule(Rule::TOPIC, "orders", {Rule::GET})});
  MakeUser("keeper",
           {MakeRule(Rule::TOPIC, "", {Rule::ALL}), MakeRule(Rule::CLUSTER, "", {Rule::ALL})});
  admin::v1::GetTopicRequest get;
  get.set_name("orders");
  EXPECT_TRUE(Command("reader", &Admin::GetTopic, get).ok());
  get.set_name("other");
  const grpc::Status refused = Command("reader", &Admin::GetTopic, get);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("GET on topic other"));
  admin::v1::DeleteTopicRequest deletion;
  deletion.set_name("orders");
  EXPECT_EQ(Command("reader", &Admin::DeleteTopic, deletion).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Command("reader", &Admin::ListTopics, {}).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Command("reader", &Admin::GetBroker, {}).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Command("keeper", &Admin::ListTopics, {}).ok());
  EXPECT_TRUE(Command("keeper", &Admin::GetBroker, {}).ok());
  // Whoever could make users could make one that may do everything.
  EXPECT_EQ(Command("keeper", &Admin::ListUsers, {}).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Command("keeper", &Admin::DeleteTopic, deletion).ok());
}

TEST_F(AccessTest, UsersAreThereAfterARestart) {
  const admin::v1::User made = MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  EXPECT_EQ(made.secret(), "");
  EXPECT_EQ(made.secret_fingerprint(), SecretFingerprint({"producer", "secret-of-producer"}));
  EXPECT_EQ(made.type(), admin::v1::NORMAL_USER);
  EXPECT_TRUE(made.enabled());
  Restart();
  EXPECT_EQ(SendAs("producer", "orders"), v2::OK);
  admin::v1::GetUserRequest get;
  get.set_name("producer");
  admin::v1::User found;
  ASSERT_TRUE(Command("admin", &Admin::GetUser, get, &found).ok());
  EXPECT_EQ(found.SerializeAsString(), made.SerializeAsString());
  admin::v1::ListUsersResponse all;
  ASSERT_TRUE(Command("admin", &Admin::ListUsers, {}, &all).ok());
  ASSERT_EQ(all.users_size(), 1);
  EXPECT_EQ(all.users(0).name(), "producer");
  admin::v1::DeleteUserRequest deletion;
  deletion.set_name("producer");
  EXPECT_TRUE(Command("admin", &Admin::DeleteUser, deletion).ok());
  EXPECT_EQ(SendAs("producer", "orders"), v2::UNAUTHORIZED);
  EXPECT_EQ(Command("admin", &Admin::DeleteUser, deletion).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(AccessTest, UsersThatCannotBeAreRefused) {
  admin::v1::CreateUserRequest request;
  request.mutable_user()->set_name("admin");
  request.mutable_user()->set_secret("some-secret");
  EXPECT_THAT(Command("admin", &Admin::CreateUser, request).error_message(),
              HasSubstr("access.super_user"));
  admin::v1::GetUserRequest get;
  get.set_name("admin");
  EXPECT_THAT(Command("admin", &Admin::GetUser, get).error_message(),
              HasSubstr("access.super_user_secret_file"));
  request.mutable_user()->set_name("bob");
  request.mutable_user()->set_secret("short");
  EXPECT_EQ(Command("admin", &Admin::CreateUser, request).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_user()->set_secret("some-secret");
  *request.mutable_user()->add_rules() = MakeRule(Rule::TOPIC, "a b", {Rule::PUB});
  EXPECT_THAT(Command("admin", &Admin::CreateUser, request).error_message(), HasSubstr("rule 1"));
  request.mutable_user()->mutable_rules(0)->set_name("%DLQ%workers");
  EXPECT_THAT(Command("admin", &Admin::CreateUser, request).error_message(),
              HasSubstr("GROUP \"workers\""));
  request.mutable_user()->mutable_rules(0)->set_name("a");
  request.mutable_user()->mutable_rules(0)->add_actions(static_cast<Rule::Action>(77));
  EXPECT_THAT(Command("admin", &Admin::CreateUser, request).error_message(),
              HasSubstr("no known action"));
  request.mutable_user()->clear_rules();
  request.mutable_user()->set_type(static_cast<admin::v1::UserType>(7));
  EXPECT_EQ(Command("admin", &Admin::CreateUser, request).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AccessTest, APollEndsWhenItsUserMayNotAnyMore) {
  MakeUser("consumer", {MakeRule(Rule::TOPIC, "orders", {Rule::SUB}),
                        MakeRule(Rule::GROUP, "workers", {Rule::SUB})});
  auto context = As("consumer");
  v2::ReceiveMessageRequest request = ReceiveRequest("orders", "workers");
  request.mutable_long_polling_timeout()->set_seconds(8);
  auto stream = stub_->ReceiveMessage(context.get(), request);
  for (admin::v1::Broker broker; broker.waiting_polls() == 0;) {
    ASSERT_TRUE(Command("admin", &Admin::GetBroker, {}, &broker).ok());
  }
  ChangeUser("consumer", {MakeRule(Rule::GROUP, "workers", {Rule::SUB})});
  EXPECT_EQ(SendAs("admin", "orders"), v2::OK);
  v2::ReceiveMessageResponse element;
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.status().code(), v2::UNAUTHORIZED);
  while (stream->Read(&element)) EXPECT_FALSE(element.has_message());
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(AccessTest, StreamsBindWhatTheirUserMayAndNoLongerThanThat) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  MakeUser("consumer", {MakeRule(Rule::TOPIC, "orders", {Rule::SUB}),
                        MakeRule(Rule::GROUP, "workers", {Rule::SUB})});
  Publisher publisher(*streams_, 0, As("producer"));
  EXPECT_EQ(publisher.Bind(1, "other", 0).status().code(), v2::UNAUTHORIZED);
  EXPECT_EQ(publisher.Bind(2, "orders", 0).status().code(), v2::OK);
  publisher.Send(2, 0, {"first"});
  EXPECT_EQ(publisher.Ack().count(), 1u);

  Subscriber subscriber(*streams_, "workers", As("consumer"));
  EXPECT_EQ(subscriber.AttachAt("other", 0, 0).status().code(), v2::UNAUTHORIZED);
  EXPECT_EQ(subscriber.AttachAt("orders", 0, 0).status().code(), v2::OK);
  EXPECT_THAT(subscriber.Bodies(1), ::testing::ElementsAre("first"));

  ChangeUser("producer", {});
  ChangeUser("consumer", {});
  publisher.Send(2, 0, {"second"});
  EXPECT_EQ(publisher.Error().status().code(), v2::UNAUTHORIZED);
  EXPECT_EQ(SendAs("admin", "orders"), v2::OK);
  v1::SubscribeResponse response = subscriber.Read();
  ASSERT_EQ(response.detached_size(), 1) << response.ShortDebugString();
  EXPECT_EQ(response.detached(0).status().code(), v2::UNAUTHORIZED);
}

TEST_F(AccessTest, NothingIsCommittedOrSettledAnyMore) {
  const Rule topic = MakeRule(Rule::TOPIC, "orders", {Rule::SUB});
  const Rule group = MakeRule(Rule::GROUP, "workers", {Rule::SUB});
  MakeUser("committer", {topic, group});
  MakeUser("worker", {topic, group});
  EXPECT_EQ(SendAs("admin", "orders"), v2::OK);
  Subscriber committer(*streams_, "workers", As("committer"));
  v1::SubscribeRequest attach;
  attach.mutable_attach()->set_binding(1);
  attach.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::COMMIT_ONLY);
  EXPECT_EQ(committer.Attach(attach, "orders").status().code(), v2::OK);
  Subscriber worker(*streams_, "workers", As("worker"), /*credit=*/64u << 10);
  EXPECT_EQ(worker.AttachGroup("orders").status().code(), v2::OK);
  EXPECT_EQ(worker.Bodies(1).size(), 1u);

  ChangeUser("committer", {topic});  // not the group any more
  ChangeUser("worker", {topic});
  v1::SubscribeRequest commit;
  commit.mutable_commit()->set_binding(1);
  commit.mutable_commit()->set_queue_offset(1);
  committer.Write(commit);
  worker.Settle(0, 0, 0, v1::Verdict::ACK);
  for (Subscriber* stream : {&committer, &worker}) {
    const v1::SubscribeResponse response = stream->Read();
    ASSERT_EQ(response.detached_size(), 1) << response.ShortDebugString();
    EXPECT_EQ(response.detached(0).status().code(), v2::UNAUTHORIZED);
  }
  attach.mutable_attach()->set_binding(2);
  EXPECT_EQ(committer.Attach(attach, "orders").status().code(), v2::UNAUTHORIZED);
}

TEST_F(AccessTest, ClientIdsHaveBounds) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-mq-client-id", std::string(600, 'x'));
  v2::HeartbeatResponse response;
  EXPECT_TRUE(stub_->Heartbeat(context.get(), {}, &response).ok());
  EXPECT_EQ(response.status().code(), v2::BAD_REQUEST) << response.status().message();
}

TEST_F(AccessTest, AStreamOfAGroupThatIsNotItsUsersEnds) {
  MakeUser("consumer", {MakeRule(Rule::TOPIC, "orders", {Rule::SUB})});
  auto context = As("consumer");
  auto stream = streams_->Subscribe(context.get());
  v1::SubscribeRequest request;
  request.mutable_open()->mutable_group()->set_name("workers");
  request.mutable_open()->set_credit_bytes(1u << 20);
  stream->Write(request);
  v1::SubscribeResponse response;
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("SUB on group workers"));
}

TEST_F(AccessTest, RoutesAreWatchedByThoseWhoUseTheTopic) {
  MakeUser("producer", {MakeRule(Rule::TOPIC, "orders", {Rule::PUB})});
  const auto stub = nameservice::v1::RouteService::NewStub(server_->InProcessChannel({}));
  auto context = As("producer");
  auto stream = stub->WatchRoutes(context.get());
  nameservice::v1::WatchRoutesRequest request;
  request.add_watch()->mutable_topic()->set_name("orders");
  request.add_watch()->mutable_topic()->set_name("other");
  stream->Write(request);
  nameservice::v1::WatchRoutesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.routes_size(), 2) << response.ShortDebugString();
  for (const auto& route : response.routes()) {
    const bool allowed = route.topic().name() == "orders";
    EXPECT_EQ(route.status().code(), allowed ? v2::OK : v2::UNAUTHORIZED);
    EXPECT_EQ(route.queues_size(), allowed ? 1 : 0);
  }
  stream->WritesDone();
  stream->Finish();
}

}  // namespace
}  // namespace dunlin::broker
