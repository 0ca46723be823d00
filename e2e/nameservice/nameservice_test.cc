// Two name services, two broker groups, clients that know name services alone; all of them real
// processes that are killed and started again.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/program.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/testing/free_ports.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::e2e {
namespace {

namespace ns = nameservice::v1;

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kPatience{30};

// GET /metrics, as text.
std::string ReadMetrics(const std::string& at) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(at.substr(at.find(':') + 1))));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  constexpr std::string_view kRequest = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(write(fd, kRequest.data(), kRequest.size()), static_cast<ssize_t>(kRequest.size()));
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; (got = read(fd, piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

// The value of the line that begins with `name`; -1: there is none.
double Metric(const std::string& at, const std::string& name) {
  const std::string text = ReadMetrics(at);
  const size_t line = text.find("\n" + name);
  if (line == std::string::npos) return -1;
  return std::stod(text.substr(text.find(' ', line + 1 + name.size())));
}

std::unique_ptr<grpc::ClientContext> NewContext(milliseconds deadline = kPatience) {
  auto context = std::make_unique<grpc::ClientContext>();
  AddHeaders(*context);
  context->set_deadline(std::chrono::system_clock::now() + deadline);
  return context;
}

// A program that is started again at the same place.
struct Server {
  std::string address = FreeAddress();
  std::string metrics = FreeAddress();
  std::unique_ptr<Program> program;
};

// The client's end of one WatchRoutes stream of one topic.
class Watch {
 public:
  Watch(const std::string& name_service, const std::string& topic)
      : stub_(ns::RouteService::NewStub(
            grpc::CreateChannel(name_service, grpc::InsecureChannelCredentials()))),
        context_(NewContext()),
        stream_(stub_->WatchRoutes(context_.get())) {
    ns::WatchRoutesRequest request;
    request.add_watch()->mutable_topic()->set_name(topic);
    stream_->Write(request);
  }
  ~Watch() {
    context_->TryCancel();
    (void)stream_->Finish();
  }
  // Reads until the topic is at these brokers; false when the stream ends first.
  bool Await(const std::set<std::string>& brokers) {
    ns::WatchRoutesResponse response;
    while (at_ != brokers) {
      if (!stream_->Read(&response)) return false;
      for (const ns::Route& route : response.routes()) {
        at_.clear();
        for (const ns::BrokerQueues& queues : route.queues()) at_.insert(queues.broker());
      }
    }
    return true;
  }

 private:
  const std::unique_ptr<ns::RouteService::Stub> stub_;
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<ns::WatchRoutesRequest, ns::WatchRoutesResponse>>
      stream_;
  std::set<std::string> at_ = {"unknown"};
};

// A client of the public API as the official ones are: asks an access point for the route, and goes
// to the brokers that it names.
class RoutedClient {
 public:
  explicit RoutedClient(std::vector<std::string> access_points)
      : access_points_(std::move(access_points)) {}

  // Of the first access point that answers; keeps the last one when none does.
  bool Refresh(const std::string& topic) {
    for (const std::string& access_point : access_points_) {
      const auto stub = v2::MessagingService::NewStub(
          grpc::CreateChannel(access_point, grpc::InsecureChannelCredentials()));
      v2::QueryRouteRequest request;
      request.mutable_topic()->set_name(topic);
      v2::QueryRouteResponse response;
      const auto context = NewContext(seconds(2));
      if (!stub->QueryRoute(context.get(), request, &response).ok()) continue;
      if (response.status().code() != v2::OK) continue;
      route_ = response;
      return true;
    }
    return false;
  }
  const v2::QueryRouteResponse& Route() const { return route_; }

  // To one queue after the other.
  absl::Status Send(const std::string& topic, const std::string& body) {
    if (route_.message_queues().empty()) return absl::NotFoundError("no route");
    const v2::MessageQueue& queue =
        route_.message_queues(static_cast<int>(turn_++ % route_.message_queues_size()));
    v2::SendMessageRequest request;
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name(topic);
    message.mutable_system_properties()->set_message_type(v2::NORMAL);
    message.mutable_system_properties()->set_message_id("id-" + body);
    message.set_body(body);
    return At(queue).Send(request).status();
  }
  // Everything in all queues of the route.
  std::set<std::string> ReadAll(const std::string& topic) {
    std::set<std::string> bodies;
    for (const v2::MessageQueue& queue : route_.message_queues()) {
      int64_t next = 0;
      for (int64_t from = -1; from != next;) {
        from = next;
        const absl::StatusOr<int64_t> read = At(queue).Pull(
            {topic, static_cast<uint32_t>(queue.id())}, from, [&](const v2::Message& message) {
              bodies.insert(message.body());
              return absl::OkStatus();
            });
        EXPECT_THAT(read, IsOk());
        if (!read.ok()) break;
        next = *read;
      }
    }
    return bodies;
  }

 private:
  V2Client& At(const v2::MessageQueue& queue) {
    const v2::Address& address = queue.broker().endpoints().addresses(0);
    const std::string at = fmt::format("{}:{}", address.host(), address.port());
    std::unique_ptr<V2Client>& client = brokers_[at];
    if (client == nullptr) client = std::make_unique<V2Client>(at);
    return *client;
  }

  const std::vector<std::string> access_points_;
  v2::QueryRouteResponse route_;
  std::map<std::string, std::unique_ptr<V2Client>> brokers_;
  uint64_t turn_ = 0;
};

class NameServiceTest : public ::testing::Test {
 protected:
  NameServiceTest()
      : home_(std::string(std::getenv("TEST_TMPDIR")) + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::create_directories(home_);
    for (size_t i = 0; i < names_.size(); ++i) StartNames(i);
    for (const char* name : {"a", "b"}) StartBrokerGroup(name);
  }

  void StartNames(size_t i) {
    std::vector<std::string> arguments = {"services/nameservice/dunlin-nameservice", "--data-dir",
                                          fmt::format("{}/names-{}", home_, i)};
    for (const std::string& setting :
         {"server.listen_address=" + names_[i].address, std::string("server.tls.mode=OFF"),
          "metrics.listen_address=" + names_[i].metrics,
          // The first start waits for nobody in particular.
          std::string("registry.start_grace_ms=1000")}) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    auto started = Program::Start(arguments, fmt::format("{}/names-{}.log", home_, i));
    ASSERT_THAT(started, IsOk());
    names_[i].program = *std::move(started);
  }

  void StartBrokerGroup(const std::string& name) {
    Server& server = brokers_[name];
    BrokerOptions options;
    options.program = "services/standalone/dunlin";
    options.data_dir = home_ + "/" + name;
    options.stderr_file = options.data_dir + ".log";
    options.auto_create_topics = false;
    options.settings = {
        "server.listen_address=" + server.address,
        "metrics.listen_address=" + server.metrics,
        "broker.broker_name=" + name,
        fmt::format("broker.name_services={},{}", names_[0].address, names_[1].address),
    };
    auto started = StartBroker(options);
    ASSERT_THAT(started, IsOk());
    server.program = *std::move(started);
  }

  void MakeTopic(const std::string& topic, const std::string& broker) {
    const auto stub = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(brokers_[broker].address, grpc::InsecureChannelCredentials()));
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_topic()->set_queues(2);
    admin::v1::Topic made;
    const grpc::Status status = stub->CreateTopic(NewContext().get(), request, &made);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // As an SDK does that has a name service as access point.
  v2::QueryAssignmentResponse QueryAssignment(const std::string& broker) {
    const auto stub = v2::MessagingService::NewStub(
        grpc::CreateChannel(brokers_[broker].address, grpc::InsecureChannelCredentials()));
    v2::QueryAssignmentRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_group()->set_name("g");
    request.mutable_endpoints()->set_scheme(v2::IPv4);
    v2::Address& access_point = *request.mutable_endpoints()->add_addresses();
    const std::string& address = names_[0].address;
    access_point.set_host(address.substr(0, address.find(':')));
    access_point.set_port(std::stoi(address.substr(address.find(':') + 1)));
    v2::QueryAssignmentResponse response;
    const grpc::Status status = stub->QueryAssignment(NewContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::vector<std::string> AccessPoints() const { return {names_[0].address, names_[1].address}; }

  const std::string home_;
  std::array<Server, 2> names_;
  std::map<std::string, Server> brokers_;
};

TEST_F(NameServiceTest, ATopicOfTwoBrokersIsFoundProducedToAndConsumedFrom) {
  std::array<std::unique_ptr<Watch>, 2> watches;
  for (size_t i = 0; i < 2; ++i) watches[i] = std::make_unique<Watch>(names_[i].address, "t");
  MakeTopic("t", "a");
  MakeTopic("t", "b");
  for (const auto& watch : watches) EXPECT_TRUE(watch->Await({"a", "b"}));

  RoutedClient client(AccessPoints());
  ASSERT_TRUE(client.Refresh("t"));
  ASSERT_EQ(client.Route().message_queues_size(), 4);
  std::set<std::string> sent;
  for (int i = 0; i < 400; ++i) {
    const std::string body = std::to_string(i);
    EXPECT_THAT(client.Send("t", body), IsOk());
    sent.insert(body);
  }
  EXPECT_EQ(client.ReadAll("t"), sent);
}

// A push consumer asks one broker of the route for its assignment and means all of them. It tells
// the broker its access point, which is a name service.
TEST_F(NameServiceTest, EveryBrokerKnowsTheAssignmentsOfAll) {
  MakeTopic("t", "a");
  MakeTopic("t", "b");
  ASSERT_TRUE(Watch(names_[0].address, "t").Await({"a", "b"}));
  ns::SetGroupWritableRequest read_only;
  read_only.set_broker_group("b");
  ns::SetGroupWritableResponse done;
  EXPECT_TRUE(ns::RegistryService::NewStub(
                  grpc::CreateChannel(names_[0].address, grpc::InsecureChannelCredentials()))
                  ->SetGroupWritable(NewContext().get(), read_only, &done)
                  .ok());
  std::set<std::string> answers;
  for (const auto& [name, server] : brokers_) {
    const v2::QueryAssignmentResponse response = QueryAssignment(name);
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    std::map<std::string, int> ports;
    std::string answer;
    for (const v2::Assignment& assignment : response.assignments()) {
      const v2::MessageQueue& queue = assignment.message_queue();
      EXPECT_EQ(queue.id(), -1);
      ports[queue.broker().name()] = queue.broker().endpoints().addresses(0).port();
      answer += queue.ShortDebugString() + "\n";
    }
    answers.insert(answer);
    ASSERT_EQ(ports.size(), 2u) << name;
    for (const auto& [broker, port] : ports) {
      EXPECT_EQ(brokers_[broker].address, fmt::format("127.0.0.1:{}", port));
    }
  }
  // Else a client would take each answer for a change.
  EXPECT_EQ(answers.size(), 1u) << ::testing::PrintToString(answers);
}

// The queues of other brokers are not taken from consumers by a name service that hangs or is gone.
TEST_F(NameServiceTest, AssignmentsAreWholeOrRefused) {
  MakeTopic("t", "a");
  MakeTopic("t", "b");
  for (const Server& names : names_) ASSERT_TRUE(Watch(names.address, "t").Await({"a", "b"}));
  EXPECT_EQ(QueryAssignment("a").assignments_size(), 2);
  EXPECT_THAT(names_[0].program->Freeze(), IsOk());
  EXPECT_EQ(QueryAssignment("a").assignments_size(), 2);
  for (Server& names : names_) names.program->Kill();
  const v2::QueryAssignmentResponse alone = QueryAssignment("a");
  EXPECT_EQ(alone.status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_THAT(alone.status().message(), ::testing::HasSubstr("name service"));
  EXPECT_EQ(alone.assignments_size(), 0);
  EXPECT_EQ(Metric(brokers_["a"].metrics, "dunlin_registration_routes_failed_total"), 1);
}

TEST_F(NameServiceTest, ABrokerThatIsKilledIsOutAtOnceAndBackAfterItsRestart) {
  MakeTopic("t", "a");
  MakeTopic("t", "b");
  Watch watch(names_[0].address, "t");
  ASSERT_TRUE(watch.Await({"a", "b"}));
  brokers_["b"].program->Kill();
  const auto killed = steady_clock::now();
  EXPECT_TRUE(watch.Await({"a"}));
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - killed);
  EXPECT_LT(took, seconds(10)) << "the time after which a broker that says nothing is out";
  fmt::print("a killed broker was out of routes after {} ms\n", took.count());

  RoutedClient client(AccessPoints());
  ASSERT_TRUE(client.Refresh("t"));
  EXPECT_EQ(client.Route().message_queues_size(), 2);
  EXPECT_THAT(client.Send("t", "while b is away"), IsOk());
  StartBrokerGroup("b");
  EXPECT_TRUE(watch.Await({"a", "b"}));
}

TEST_F(NameServiceTest, ATopicThatIsMadeIsToldAtOnce) {
  MakeTopic("first", "a");
  Watch first(names_[0].address, "first");
  ASSERT_TRUE(first.Await({"a"}));
  Watch watch(names_[0].address, "t");
  ASSERT_TRUE(watch.Await({}));
  std::vector<milliseconds> took;
  for (const char* broker : {"a", "b"}) {
    MakeTopic("t", broker);
    const auto made = steady_clock::now();
    ASSERT_TRUE(
        watch.Await(took.empty() ? std::set<std::string>{"a"} : std::set<std::string>{"a", "b"}));
    took.push_back(std::chrono::duration_cast<milliseconds>(steady_clock::now() - made));
  }
  EXPECT_LT(std::min(took[0], took[1]), seconds(5)) << "nobody has to ask again and again";
  fmt::print("a topic was told after {} and {} ms\n", took[0].count(), took[1].count());
}

TEST_F(NameServiceTest, NothingIsLostWhileANameServiceIsKilledAndStartedAgain) {
  MakeTopic("t", "a");
  MakeTopic("t", "b");
  ASSERT_TRUE(Watch(names_[0].address, "t").Await({"a", "b"}));
  ASSERT_TRUE(Watch(names_[1].address, "t").Await({"a", "b"}));
  std::atomic<bool> stop = false;
  std::set<std::string> acknowledged;
  std::atomic<int> refused = 0;
  std::thread producer([&] {
    RoutedClient client(AccessPoints());
    client.Refresh("t");
    for (int i = 0; !stop; ++i) {
      if (i % 50 == 0) client.Refresh("t");
      const std::string body = std::to_string(i);
      if (client.Send("t", body).ok()) {
        acknowledged.insert(body);
      } else {
        ++refused;
      }
    }
  });
  for (int round = 0; round < 3; ++round) {
    names_[0].program->Kill();
    poll(nullptr, 0, 300);
    StartNames(0);
    // It knew both groups and tells routes as soon as they are back.
    EXPECT_TRUE(Watch(names_[0].address, "t").Await({"a", "b"}));
  }
  stop = true;
  producer.join();
  EXPECT_EQ(refused, 0);
  RoutedClient client({names_[0].address});
  ASSERT_TRUE(client.Refresh("t"));
  const std::set<std::string> read = client.ReadAll("t");
  for (const std::string& body : acknowledged) EXPECT_TRUE(read.contains(body)) << body;
  fmt::print("{} messages were acknowledged meanwhile\n", acknowledged.size());
}

TEST_F(NameServiceTest, ABrokerThatHasNotChangedSendsNoTopicsAgain) {
  MakeTopic("t", "a");
  Watch watch(names_[1].address, "t");
  ASSERT_TRUE(watch.Await({"a"}));
  const std::string session = fmt::format("{{name_service=\"{}\"}}", names_[1].address);
  const std::string& metrics = brokers_["a"].metrics;
  const double tables = Metric(metrics, "dunlin_registration_tables_sent_total" + session);
  EXPECT_EQ(tables, 1);
  const auto registry = ns::RegistryService::NewStub(
      grpc::CreateChannel(names_[1].address, grpc::InsecureChannelCredentials()));
  ns::UnregisterRequest request;
  request.mutable_identity()->set_broker_group("a");
  request.mutable_identity()->set_member("a");
  for (int round = 0; round < 3; ++round) {
    ns::UnregisterResponse response;
    EXPECT_TRUE(registry->Unregister(NewContext().get(), request, &response).ok());
    EXPECT_TRUE(watch.Await({}));
    EXPECT_TRUE(watch.Await({"a"}));
    // The name service has a broker in its routes before the broker has read that it is welcome.
    const auto begin = steady_clock::now();
    while (Metric(metrics, "dunlin_registration_welcomes_total" + session) < round + 2 &&
           steady_clock::now() - begin < kPatience) {
    }
    EXPECT_EQ(Metric(metrics, "dunlin_registration_welcomes_total" + session), round + 2);
  }
  EXPECT_EQ(Metric(metrics, "dunlin_registration_tables_sent_total" + session), tables);
  EXPECT_EQ(Metric(names_[1].metrics, "dunlin_nameservice_ready"), 1);
}

}  // namespace
}  // namespace dunlin::e2e
