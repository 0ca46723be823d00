// The SDK in a cluster: two name services, two brokers, all of them real processes that are killed
// and started again. The SDK knows the name services alone.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/push_consumer.h"
#include "dunlin/simple_consumer.h"
#include "dunlin/transaction_producer.h"

#include "e2e/harness/broker.h"
#include "e2e/harness/port_mapping.h"
#include "e2e/harness/program.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"
#include "services/base/testing/free_ports.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin {
namespace {

using e2e::Program;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kPatience{60};

// Bodies, from any thread.
class Bodies {
 public:
  void Add(std::string_view body) {
    MutexLock lock(mutex_);
    bodies_.emplace(body);
    changed_.SignalAll();
  }
  std::set<std::string> All() {
    MutexLock lock(mutex_);
    return bodies_;
  }
  // Waits until all of these are among them.
  bool Await(const std::set<std::string>& wanted) {
    const auto deadline = steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (!std::includes(bodies_.begin(), bodies_.end(), wanted.begin(), wanted.end())) {
      if (!changed_.WaitUntil(mutex_, deadline)) return false;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::set<std::string> bodies_ ABSL_GUARDED_BY(mutex_);
};

class ClusterTest : public ::testing::Test {
 protected:
  // A program that is started again at the same place.
  struct Server {
    std::string address = FreeAddress();
    std::string metrics = FreeAddress();
    std::unique_ptr<Program> program;
  };

  ClusterTest()
      : home_(std::string(std::getenv("TEST_TMPDIR")) + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::create_directories(home_);
    for (size_t i = 0; i < names_.size(); ++i) StartNames(i);
    for (const char* name : {"a", "b"}) StartBroker(name);
    ClientOptions options;
    options.endpoint = names_[0].address + "," + names_[1].address;
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_THAT(client, IsOk());
    client_ = std::make_unique<Client>(*std::move(client));
  }

  void StartNames(size_t i) {
    std::vector<std::string> arguments = {"services/nameservice/dunlin-nameservice", "--data-dir",
                                          fmt::format("{}/names-{}", home_, i)};
    for (const std::string& setting :
         {"server.listen_address=" + names_[i].address, std::string("server.tls.mode=OFF"),
          "metrics.listen_address=" + names_[i].metrics,
          std::string("registry.start_grace_ms=1000")}) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    auto started = Program::Start(arguments, fmt::format("{}/names-{}.log", home_, i));
    ASSERT_THAT(started, IsOk());
    names_[i].program = *std::move(started);
  }

  void StartBroker(const std::string& name) {
    Server& server = brokers_[name];
    e2e::BrokerOptions options;
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
    auto started = e2e::StartBroker(options);
    ASSERT_THAT(started, IsOk());
    server.program = *std::move(started);
  }

  void MakeTopic(const std::string& broker, const std::string& name = "t",
                 admin::v1::MessageKind kind = admin::v1::NORMAL) {
    const auto stub = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(brokers_[broker].address, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->set_queues(2);
    request.mutable_topic()->add_kinds(kind);
    admin::v1::Topic made;
    const grpc::Status status = stub->CreateTopic(&context, request, &made);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // Waits until the topic is known to be at so many brokers, two queues each.
  void AwaitQueues(uint32_t queues) {
    auto consumer = client_->MakePullConsumer({});
    ASSERT_THAT(consumer, IsOk());
    for (const auto deadline = steady_clock::now() + kPatience; steady_clock::now() < deadline;) {
      const auto assigned = consumer->AssignAll("t", StartAt::First());
      if (assigned.ok() && *assigned == queues) return;
      for (const char* broker : {"a", "b"}) {
        for (uint32_t queue = 0; queue < 2; ++queue) {
          consumer->Unassign("t", queue, broker).IgnoreError();
        }
      }
      poll(nullptr, 0, 20);
    }
    FAIL() << "topic t does not come to " << queues << " queues";
  }

  Producer MakeProducer(const ProducerOptions& options = {}) {
    absl::StatusOr<Producer> producer = client_->MakeProducer(options);
    EXPECT_THAT(producer, IsOk());
    return *std::move(producer);
  }
  PushConsumer MakeConsumer(Bodies& received) {
    PushConsumerOptions options;
    options.group = "g";
    options.subscriptions = {{"t", Filter()}};
    options.listener = [&received](const ReceivedMessage& message) {
      received.Add(message.body());
      return ConsumeResult::kAck;
    };
    absl::StatusOr<PushConsumer> consumer = client_->MakePushConsumer(options);
    EXPECT_THAT(consumer, IsOk());
    return *std::move(consumer);
  }

  // Sends numbered messages, one at a time, while `disturb` runs; what was acknowledged.
  template <typename Disturb>
  std::set<std::string> SendWhile(const Disturb& disturb, int* refused) {
    Producer producer = MakeProducer();
    std::atomic<bool> stop{false};
    std::set<std::string> acknowledged;
    std::thread sender([&] {
      Message message;
      message.topic = "t";
      for (int i = 0; !stop; ++i) {
        message.body = std::to_string(i);
        if (producer.Send(message).ok()) {
          acknowledged.insert(message.body);
        } else {
          ++*refused;
        }
      }
    });
    disturb();
    stop = true;
    sender.join();
    return acknowledged;
  }

  const std::string home_;
  std::array<Server, 2> names_;
  std::map<std::string, Server> brokers_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClusterTest, MessagesGoToAndComeFromBothBrokers) {
  MakeTopic("a");
  MakeTopic("b");
  AwaitQueues(4);
  std::atomic<int> at_a{0};
  std::atomic<int> at_b{0};
  ProducerOptions options;
  options.on_delivery = [&](const DeliveryReport& report) {
    EXPECT_THAT(report.status, IsOk());
    (report.broker == "a" ? at_a : at_b).fetch_add(static_cast<int>(report.count));
  };
  Producer producer = MakeProducer(options);
  std::set<std::string> sent;
  Message message;
  message.topic = "t";
  for (int i = 0; i < 2000; ++i) {
    message.body = std::to_string(i);
    ASSERT_THAT(producer.SendAsync(message), IsOk());
    sent.insert(message.body);
  }
  ASSERT_THAT(producer.Flush(kPatience), IsOk());
  EXPECT_EQ(at_a + at_b, 2000);
  EXPECT_GT(at_a, 0);
  EXPECT_GT(at_b, 0);
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  EXPECT_TRUE(received.Await(sent));
}

TEST_F(ClusterTest, EverythingAcknowledgedIsReceivedAlthoughABrokerIsKilled) {
  MakeTopic("a");
  MakeTopic("b");
  AwaitQueues(4);
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  int refused = 0;
  const std::set<std::string> acknowledged = SendWhile(
      [&] {
        for (int round = 0; round < 3; ++round) {
          poll(nullptr, 0, 300);
          brokers_["b"].program->Kill();
          poll(nullptr, 0, 700);
          StartBroker("b");
        }
        poll(nullptr, 0, 500);
      },
      &refused);
  // A message that was on its way waits until its broker is back, or goes to the other one.
  EXPECT_EQ(refused, 0);
  EXPECT_TRUE(received.Await(acknowledged));
  fmt::print("{} messages were acknowledged meanwhile\n", acknowledged.size());
}

TEST_F(ClusterTest, ABrokerThatStaysAwayStopsNobody) {
  MakeTopic("a");
  MakeTopic("b");
  AwaitQueues(4);
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  int refused = 0;
  steady_clock::time_point killed;
  const std::set<std::string> acknowledged = SendWhile(
      [&] {
        poll(nullptr, 0, 300);
        brokers_["b"].program->Kill();
        killed = steady_clock::now();
        poll(nullptr, 0, 500);
      },
      &refused);
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - killed);
  EXPECT_EQ(refused, 0);
  StartBroker("b");
  EXPECT_TRUE(received.Await(acknowledged));
  fmt::print("{} messages were acknowledged, the last {} ms after the kill\n", acknowledged.size(),
             took.count());
}

TEST_F(ClusterTest, ANameServiceThatDiesDisturbsNobody) {
  MakeTopic("a");
  MakeTopic("b");
  AwaitQueues(4);
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  int refused = 0;
  const std::set<std::string> acknowledged = SendWhile(
      [&] {
        for (int round = 0; round < 4; ++round) {
          const size_t which = static_cast<size_t>(round) % 2;
          names_[which].program->Kill();
          poll(nullptr, 0, 300);
          StartNames(which);
          poll(nullptr, 0, 1500);
        }
      },
      &refused);
  EXPECT_EQ(refused, 0);
  EXPECT_TRUE(received.Await(acknowledged));
}

// A host that is cut off breaks no connection, and routes are but listened to: the SDK has to ask
// whether anybody is there, for as long as it listens.
TEST_F(ClusterTest, ANameServiceThatHangsIsLeft) {
  MakeTopic("a");
  AwaitQueues(2);
  e2e::PortMapping mapping(names_[0].address);
  ClientOptions options;
  options.endpoint = mapping.address() + "," + names_[1].address;
  options.route_poll_interval = std::chrono::hours(1);
  const absl::StatusOr<Client> client = Client::Connect(options);
  ASSERT_THAT(client, IsOk());
  std::atomic<bool> at_b{false};
  ProducerOptions told;
  told.on_delivery = [&](const DeliveryReport& report) {
    if (report.broker == "b" && report.status.ok()) at_b = true;
  };
  absl::StatusOr<Producer> producer = client->MakeProducer(told);
  ASSERT_THAT(producer, IsOk());
  Message message;
  message.topic = "t";
  message.body = "x";
  ASSERT_THAT(producer->Send(message), IsOk());
  poll(nullptr, 0, 15'000);  // so that it has asked more than twice
  mapping.Hang();
  MakeTopic("b");
  const auto made = steady_clock::now();
  while (!at_b && steady_clock::now() < made + kPatience) {
    ASSERT_THAT(producer->Send(message), IsOk());
    poll(nullptr, 0, 1);
  }
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - made);
  fmt::print("a name service that hung was left within {} ms\n", took.count());
  EXPECT_TRUE(at_b);
  EXPECT_LT(took, seconds(20));
}

TEST_F(ClusterTest, AChangedRouteIsFollowedAtOnce) {
  MakeTopic("a");
  AwaitQueues(2);
  std::atomic<bool> at_b{false};
  ProducerOptions options;
  options.on_delivery = [&](const DeliveryReport& report) {
    if (report.broker == "b" && report.status.ok()) at_b = true;
  };
  Producer producer = MakeProducer(options);
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  Message message;
  message.topic = "t";
  message.body = "x";
  ASSERT_THAT(producer.Send(message), IsOk());
  MakeTopic("b");
  const auto made = steady_clock::now();
  while (!at_b && steady_clock::now() < made + kPatience) {
    ASSERT_THAT(producer.Send(message), IsOk());
  }
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - made);
  fmt::print("messages went to a new broker of the topic {} ms after it was one\n", took.count());
  // Well before the client would ask for the route by itself.
  EXPECT_LT(took, ClientOptions().route_poll_interval);
}

TEST_F(ClusterTest, AMessageGroupKeepsItsOrderWhileItsBrokerIsAway) {
  for (const char* broker : {"a", "b"}) MakeTopic(broker, "t", admin::v1::FIFO);
  AwaitQueues(4);
  ProducerOptions options;
  Mutex mutex;
  std::map<std::string_view, int> stored;
  options.on_delivery = [&](const DeliveryReport& report) {
    EXPECT_THAT(report.status, IsOk());
    MutexLock lock(mutex);
    stored[report.broker] += static_cast<int>(report.count);
  };
  Producer producer = MakeProducer(options);
  Message message;
  message.topic = "t";
  constexpr int kGroups = 16;
  const auto send = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      for (int group = 0; group < kGroups; ++group) {
        message.message_group = "group-" + std::to_string(group);
        message.body = fmt::format("{} {}", group, i);
        ASSERT_THAT(producer.SendAsync(message), IsOk());
      }
    }
  };
  send(0, 20);
  brokers_["b"].program->Kill();
  send(20, 40);
  StartBroker("b");
  send(40, 60);
  ASSERT_THAT(producer.Flush(kPatience), IsOk());
  {
    MutexLock lock(mutex);
    EXPECT_GT(stored["a"], 0);
    EXPECT_GT(stored["b"], 0);
  }
  auto consumer = client_->MakePullConsumer({});
  ASSERT_THAT(consumer, IsOk());
  AwaitQueues(4);
  ASSERT_THAT(consumer->AssignAll("t", StartAt::First()), IsOk());
  // In every queue the messages of a group are in their order.
  std::map<std::pair<std::string, std::string>, int> last;
  for (int count = 0; count < 60 * kGroups;) {
    const auto batch = consumer->Poll(kPatience);
    ASSERT_THAT(batch, IsOk());
    ASSERT_FALSE(batch->empty());
    for (const MessageView& read : *batch) {
      const std::string body(read.body());
      const size_t space = body.find(' ');
      const int number = std::stoi(body.substr(space));
      int& before =
          last.try_emplace({std::string(read.broker()), body.substr(0, space)}, -1).first->second;
      EXPECT_LT(before, number);
      before = number;
      ++count;
    }
  }
}

TEST_F(ClusterTest, TransactionsEndWhereTheyBegan) {
  for (const char* broker : {"a", "b"}) MakeTopic(broker, "t", admin::v1::TRANSACTION);
  AwaitQueues(4);
  Bodies asked;
  TransactionProducerOptions options;
  options.first_check = milliseconds(500);
  options.checker = [&asked](const OrphanedTransaction& orphan) {
    asked.Add(orphan.message.body);
    return Resolution::kCommit;
  };
  auto producer = client_->MakeTransactionProducer(options);
  ASSERT_THAT(producer, IsOk());
  std::set<std::string> committed;
  std::set<std::string> left_open;
  Message message;
  message.topic = "t";
  for (int i = 0; i < 20; ++i) {
    message.body = std::to_string(i);
    auto transaction = producer->Prepare(message);
    ASSERT_THAT(transaction, IsOk());
    // Each goes to another broker than the one before.
    if (i % 4 < 2) {
      EXPECT_THAT(transaction->Commit(), IsOk());
      committed.insert(message.body);
    } else {
      left_open.insert(message.body);
    }
  }
  // Both brokers ask about what they have.
  EXPECT_TRUE(asked.Await(left_open));
  Bodies received;
  PushConsumer consumer = MakeConsumer(received);
  committed.merge(left_open);
  EXPECT_TRUE(received.Await(committed));
}

}  // namespace
}  // namespace dunlin
