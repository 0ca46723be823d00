// A broker alone, a broker group of a master and a slave, and a name service, all of them real
// processes; and a client whose every request lands at the wrong one.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/program.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"
#include "services/base/request_signature.h"
#include "services/base/testing/free_ports.h"
#include "services/base/testing/status_matchers.h"
#include "services/runtime/peer_credentials.h"

namespace dunlin::e2e {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using Stub = v2::MessagingService::Stub;

constexpr seconds kPatience{60};

// Who signs the calls of this test; nobody at first.
Credentials& Signer() {
  static Credentials credentials;
  return credentials;
}

std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  AddHeaders(*context);
  if (!Signer().empty()) {
    const std::string time = SignedDateTime(std::chrono::system_clock::now());
    context->AddMetadata(kDateTimeHeader, time);
    context->AddMetadata(kAuthorizationHeader, Authorization(Signer(), time));
  }
  context->set_deadline(std::chrono::system_clock::now() + kPatience);
  // Else calls fail while a connection is made again, and only who waits in a call drives gRPC's
  // handshakes on: without any of them each step of TLS takes 5 s.
  context->set_wait_for_ready(true);
  return context;
}

// One process, and the way to it.
struct Server {
  std::string address = FreeAddress();
  std::unique_ptr<Program> program;
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  std::unique_ptr<Stub> stub = v2::MessagingService::NewStub(channel);

  void EncryptStub() {
    config::v1::PeerTlsConfig config;
    config.set_mode(config::v1::PeerTlsConfig::ENCRYPTED);
    channel = grpc::CreateChannel(address, *PeerCredentials(config, RealFiles()));
    stub = v2::MessagingService::NewStub(channel);
  }

  template <typename Request, typename Response>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) const {
    Response response;
    const grpc::Status status = (stub.get()->*method)(NewContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

v2::SendMessageRequest SendOf(const std::string& topic, const std::string& body,
                              v2::MessageType type) {
  v2::SendMessageRequest request;
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_name(topic);
  message.set_body(body);
  message.mutable_system_properties()->set_message_id("id-" + body);
  message.mutable_system_properties()->set_message_type(type);
  if (type == v2::DELAY) {
    message.mutable_system_properties()->mutable_delivery_timestamp()->set_seconds(
        std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count() +
        3600);
  }
  return request;
}

std::string Frame(char type, char flags, const std::string& payload) {
  std::string frame = {0, 0, static_cast<char>(payload.size()), type, flags, 0, 0, 0, 1};
  if (type == 4) frame.back() = 0;  // SETTINGS are of no stream
  return frame + payload;
}

// Never in HPACK's tables; names and values of up to 126 bytes.
std::string Literal(const std::string& name, const std::string& value) {
  std::string field(1, '\0');
  for (const std::string& text : {name, value}) field += static_cast<char>(text.size()) + text;
  return field;
}

// An AckMessage with a header that no client's gRPC sends. Returns what came back until the end.
std::string CallWithHeader(const std::string& address, const std::string& name,
                           const std::string& value, const v2::AckMessageRequest& request) {
  std::string headers = Literal(":method", "POST") + Literal(":scheme", "http") +
                        Literal(":path", "/apache.rocketmq.v2.MessagingService/AckMessage") +
                        Literal(":authority", "test") +
                        Literal("content-type", "application/grpc") + Literal("te", "trailers");
  if (name != "x-mq-client-id") headers += Literal("x-mq-client-id", "client");
  headers += Literal(name, value);
  const std::string body = request.SerializeAsString();
  const std::string message = std::string(4, '\0') + static_cast<char>(body.size()) + body;
  const std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, "") +
                            Frame(1, 4, headers) + Frame(0, 1, message);
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  std::string answer;
  if (connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0 &&
      send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size())) {
    std::string piece(4096, '\0');
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    while (answer.find("grpc-status") == std::string::npos && poll(&ready, 1, 20'000) == 1) {
      const ssize_t got = recv(socket, piece.data(), piece.size(), 0);
      if (got <= 0) break;
      answer.append(piece, 0, static_cast<size_t>(got));
    }
  }
  close(socket);
  return answer;
}

class PassedOnTest : public ::testing::Test {
 protected:
  PassedOnTest() : PassedOnTest(Credentials()) {}
  // With access control and TLS everywhere, and calls signed by the super user, when there is one.
  explicit PassedOnTest(const Credentials& super_user)
      : home_(fmt::format("{}/{}", std::getenv("TEST_TMPDIR"),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(home_);
    Signer() = super_user;
    if (!super_user.empty()) {
      std::ofstream(home_ + "/secret") << super_user.secret_key;
      tls_ = true;
      more_settings_ = {"access.enabled=true", "access.super_user=" + super_user.access_key,
                        fmt::format("access.super_user_secret_file={}/secret", home_),
                        "peer_tls.mode=ENCRYPTED"};
      for (Server* server : {&names_, &alone_, &master_, &slave_}) server->EncryptStub();
    }
    StartNames();
    StartMember("alone", alone_, {"broker.broker_name=a"});
    const std::string master = FreeAddress();
    const std::string slave = FreeAddress();
    std::vector<std::string> group = {"broker.broker_name=b", "replication.master=m",
                                      fmt::format("replication.members=m={}, s={}", master, slave)};
    const auto member = [&](const char* name, const std::string& replicator) {
      std::vector<std::string> settings = group;
      settings.push_back(fmt::format("replication.member={}", name));
      settings.push_back("replication.listen_address=" + replicator);
      return settings;
    };
    settings_of_master_ = member("m", master);
    StartMember("master", master_, settings_of_master_);
    StartMember("slave", slave_, member("s", slave));
    MakeTopic("at-a", alone_);
    MakeTopic("at-b", master_);
    // Whoever answers so is not without a role any more, and knows the way.
    for (const char* topic : {"at-a", "at-b"}) {
      for (const Server* server : {&alone_, &master_, &slave_}) AwaitRoute(topic, *server);
    }
  }

  void StartNames() {
    std::vector<std::string> arguments = {"services/nameservice/dunlin-nameservice", "--data-dir",
                                          home_ + "/names"};
    for (const std::string& setting :
         {"server.listen_address=" + names_.address,
          std::string(tls_ ? "server.tls.mode=REQUIRED" : "server.tls.mode=OFF"),
          std::string("metrics.listen_address="), std::string("registry.start_grace_ms=1000"),
          std::string(tls_ ? "peer_tls.mode=ENCRYPTED" : "peer_tls.mode=OFF")}) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    auto started = Program::Start(arguments, home_ + "/names.log");
    ASSERT_THAT(started, IsOk());
    names_.program = *std::move(started);
  }
  void StartMember(const std::string& name, Server& server,
                   const std::vector<std::string>& settings) {
    BrokerOptions options;
    options.program = "services/standalone/dunlin";
    options.data_dir = home_ + "/" + name;
    options.stderr_file = options.data_dir + ".log";
    options.auto_create_topics = false;
    options.tls = tls_;
    options.settings = settings;
    options.settings.insert(options.settings.end(), more_settings_.begin(), more_settings_.end());
    options.settings.push_back("server.listen_address=" + server.address);
    options.settings.push_back("broker.auto_create_groups=true");
    options.settings.push_back("broker.name_services=" + names_.address);
    auto started = StartBroker(options);
    ASSERT_THAT(started, IsOk());
    server.program = *std::move(started);
  }
  static void Await(const std::function<bool()>& reached) {
    const auto deadline = steady_clock::now() + kPatience;
    while (!reached() && steady_clock::now() < deadline) poll(nullptr, 0, 20);
  }
  // Returns once there is a master to make it.
  static void MakeTopic(const std::string& topic, const Server& server) {
    const auto admin = admin::v1::AdminService::NewStub(server.channel);
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_topic()->set_queues(1);
    for (const auto kind : {admin::v1::NORMAL, admin::v1::DELAY, admin::v1::TRANSACTION}) {
      request.mutable_topic()->add_kinds(kind);
    }
    grpc::Status status;
    // A server that takes its role meanwhile breaks calls off.
    Await([&] {
      admin::v1::Topic made;
      status = admin->CreateTopic(NewContext().get(), request, &made);
      return status.error_code() != grpc::UNAVAILABLE && status.error_code() != grpc::CANCELLED;
    });
    EXPECT_TRUE(status.ok() || status.error_code() == grpc::ALREADY_EXISTS)
        << status.error_message();
  }
  static void AwaitRoute(const std::string& topic, const Server& server) {
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name(topic);
    v2::QueryRouteResponse response;
    Await([&] {
      response.Clear();
      return server.stub->QueryRoute(NewContext().get(), request, &response).ok() &&
             !response.message_queues().empty() &&
             response.message_queues(0).permission() == v2::READ_WRITE;
    });
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
  }

  static v2::SendResultEntry Send(const Server& at, const v2::SendMessageRequest& request) {
    const v2::SendMessageResponse response = at.Call(&Stub::SendMessage, request);
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    return response.entries_size() == 1 ? response.entries(0) : v2::SendResultEntry();
  }
  static v2::Message Receive(const Server& at, const std::string& topic) {
    v2::ReceiveMessageRequest request;
    request.mutable_group()->set_name("g");
    request.mutable_message_queue()->mutable_topic()->set_name(topic);
    request.mutable_message_queue()->set_id(-1);
    request.mutable_filter_expression()->set_expression("*");
    request.set_batch_size(1);
    request.mutable_invisible_duration()->set_seconds(300);
    request.mutable_long_polling_timeout()->set_seconds(20);
    const auto context = NewContext();
    const auto stream = at.stub->ReceiveMessage(context.get(), request);
    v2::Message message;
    v2::ReceiveMessageResponse element;
    while (stream->Read(&element)) {
      if (element.has_message()) message = element.message();
    }
    EXPECT_TRUE(stream->Finish().ok());
    return message;
  }
  // How many messages of the topic the group is done with.
  static int64_t Done(const Server& at, const std::string& topic) {
    v2::GetOffsetRequest request;
    request.mutable_group()->set_name("g");
    request.mutable_message_queue()->mutable_topic()->set_name(topic);
    return at.Call(&Stub::GetOffset, request).offset();
  }

  // Everything at `wrong` that is for `right`, which receives alone.
  void DoAll(const std::string& topic, const Server& wrong, const Server& right,
             const std::string& name) {
    SCOPED_TRACE(name);
    const int64_t before = done_[topic];
    Send(wrong, SendOf(topic, name, v2::NORMAL));
    const std::string half = name + " half";
    v2::EndTransactionRequest end;
    end.mutable_topic()->set_name(topic);
    end.set_message_id("id-" + half);
    end.set_transaction_id(Send(wrong, SendOf(topic, half, v2::TRANSACTION)).transaction_id());
    end.set_resolution(v2::COMMIT);
    const v2::Message first = Receive(wrong, topic);
    EXPECT_EQ(first.body(), name);
    EXPECT_EQ(wrong.Call(&Stub::EndTransaction, end).status().code(), v2::OK);
    const v2::Message second = Receive(wrong, topic);
    EXPECT_EQ(second.body(), half);

    v2::AckMessageRequest acknowledge;
    acknowledge.mutable_topic()->set_name(topic);
    acknowledge.mutable_group()->set_name("g");
    for (const v2::Message* message : {&first, &second}) {
      acknowledge.add_entries()->set_receipt_handle(message->system_properties().receipt_handle());
    }
    EXPECT_EQ(wrong.Call(&Stub::AckMessage, acknowledge).status().code(), v2::OK);
    done_[topic] = before + 2;
    EXPECT_EQ(Done(right, topic), before + 2);

    v2::RecallMessageRequest recall;
    recall.mutable_topic()->set_name(topic);
    recall.set_recall_handle(Send(wrong, SendOf(topic, name + " late", v2::DELAY)).recall_handle());
    EXPECT_EQ(wrong.Call(&Stub::RecallMessage, recall).status().code(), v2::OK);
  }

  const std::string home_;
  bool tls_ = false;
  std::vector<std::string> more_settings_;
  std::vector<std::string> settings_of_master_;
  Server names_;
  Server alone_;
  Server master_;
  Server slave_;
  std::map<std::string, int64_t> done_;
};

TEST_F(PassedOnTest, EveryRequestLandsAtTheWrongMemberAndIsDoneAtTheRightOne) {
  DoAll("at-b", slave_, master_, "from the slave of its own group");
  DoAll("at-b", alone_, master_, "from another broker");
  DoAll("at-a", master_, alone_, "from the master of another group");
  DoAll("at-a", slave_, alone_, "from the slave of another group");
  DoAll("at-a", names_, alone_, "from a name service");
}

// gRPC ends a process that sends such: what passes requests on must not.
TEST_F(PassedOnTest, BytesThatAreNoHeaderEndNobody) {
  v2::AckMessageRequest request;
  request.mutable_topic()->set_name("at-a");
  for (const Server* server : {&names_, &slave_}) {
    for (const char* name : {"x-mq-client-id", "x-dunlin-zone", "x-mq-\x01"}) {
      EXPECT_THAT(CallWithHeader(server->address, name, "\x80\x01", request),
                  ::testing::HasSubstr("grpc-status"))
          << name;
    }
  }
  EXPECT_EQ(Done(slave_, "at-a"), 0) << "the servers go on";
}

class SignedTest : public PassedOnTest {
 protected:
  SignedTest() : PassedOnTest(Credentials{"boss", "secret-of-boss"}) {}
  ~SignedTest() override { Signer() = {}; }

  using Admin = admin::v1::AdminService::Stub;
  static std::unique_ptr<Admin> AdminAt(const Server& server) {
    return admin::v1::AdminService::NewStub(server.channel);
  }
  // May send to at-b, and nothing else.
  static admin::v1::User Shop() {
    admin::v1::User user;
    user.set_name("shop");
    user.set_secret("secret-of-shop");
    admin::v1::AccessRule& rule = *user.add_rules();
    rule.set_resource(admin::v1::AccessRule::TOPIC);
    rule.set_name("at-b");
    rule.add_actions(admin::v1::AccessRule::PUB);
    return user;
  }
  static v2::Code SendAt(const Server& server, const std::string& topic) {
    return server.Call(&Stub::SendMessage, SendOf(topic, "body", v2::NORMAL)).status().code();
  }
  static v2::Code QueryOffsetAt(const Server& server) {
    v2::QueryOffsetRequest request;
    request.mutable_message_queue()->mutable_topic()->set_name("at-b");
    request.set_query_offset_policy(v2::END);
    return server.Call(&Stub::QueryOffset, request).status().code();
  }
  static v2::Code QueryRouteAt(const Server& server) {
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name("at-b");
    return server.Call(&Stub::QueryRoute, request).status().code();
  }
};

TEST_F(SignedTest, WhatIsPassedOnIsStillSignedAndEveryMemberKnowsTheUsers) {
  const Credentials boss = Signer();
  const Credentials shop{"shop", "secret-of-shop"};
  admin::v1::CreateUserRequest create;
  *create.mutable_user() = Shop();
  admin::v1::User made;
  ASSERT_TRUE(AdminAt(master_)->CreateUser(NewContext().get(), create, &made).ok());
  // Not at the broker alone: it passes on what it cannot judge, but only of those it knows.
  Signer() = shop;
  Await([&] { return QueryRouteAt(slave_) == v2::OK; });
  for (const Server* server : {&master_, &slave_, &names_}) {
    EXPECT_EQ(SendAt(*server, "at-b"), v2::OK) << server->address;
    EXPECT_EQ(QueryOffsetAt(*server), v2::UNAUTHORIZED) << server->address;
  }
  EXPECT_EQ(SendAt(alone_, "at-b"), v2::UNAUTHORIZED);
  EXPECT_EQ(SendAt(names_, "at-a"), v2::UNAUTHORIZED);
  Signer() = {};
  for (const Server* server : {&master_, &slave_, &alone_, &names_}) {
    EXPECT_EQ(SendAt(*server, "at-b"), v2::UNAUTHORIZED) << server->address;
  }

  // A master that was killed, and the slave that followed it, know what was acknowledged.
  master_.program->Kill();
  StartMember("master", master_, settings_of_master_);
  Signer() = boss;
  AwaitRoute("at-b", master_);
  Signer() = shop;
  EXPECT_EQ(SendAt(master_, "at-b"), v2::OK);

  admin::v1::UpdateUserRequest update;
  *update.mutable_user() = Shop();
  update.mutable_user()->set_enabled(false);
  Signer() = boss;
  ASSERT_TRUE(AdminAt(master_)->UpdateUser(NewContext().get(), update, &made).ok());
  Signer() = shop;
  EXPECT_EQ(SendAt(master_, "at-b"), v2::UNAUTHORIZED);
  Await([&] { return QueryRouteAt(slave_) == v2::UNAUTHORIZED; });
  EXPECT_EQ(QueryRouteAt(slave_), v2::UNAUTHORIZED);
}

}  // namespace
}  // namespace dunlin::e2e
