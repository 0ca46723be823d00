// Credentials: every call is signed with them, and whoever is turned away is told so.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/client.h"
#include "dunlin/lite_producer.h"
#include "dunlin/lite_push_consumer.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/push_consumer.h"
#include "dunlin/simple_consumer.h"

#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"
#include "services/base/request_signature.h"

namespace dunlin {
namespace {

using testing::FakeBroker;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

namespace v2 = apache::rocketmq::v2;

constexpr char kUser[] = "alice";
constexpr char kSecret[] = "secret-of-alice";
constexpr std::chrono::seconds kPatience{20};

Message MakeMessage() {
  Message message;
  message.topic = "t";
  message.body = "b";
  return message;
}

// The errors of a consumer.
class Errors {
 public:
  void Add(const absl::Status& status) {
    MutexLock lock(mutex_);
    errors_.push_back(status);
    changed_.SignalAll();
  }
  // The first of this kind; OK: it does not come.
  absl::Status Await(absl::StatusCode code) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    for (;;) {
      for (const absl::Status& error : errors_) {
        if (error.code() == code) return error;
      }
      if (!changed_.WaitUntil(mutex_, deadline)) return absl::OkStatus();
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<absl::Status> errors_ ABSL_GUARDED_BY(mutex_);
};

class AccessTest : public ::testing::Test {
 protected:
  explicit AccessTest(const FakeBroker::Options& options = {}) : broker_(options) {
    broker_.AddTopic("t");
  }

  Client Connect(const std::string& access_key = kUser, const std::string& secret_key = kSecret) {
    ClientOptions options;
    options.endpoint = broker_.address();
    options.access_key = access_key;
    options.secret_key = secret_key;
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  absl::Status Send(const Client& client) {
    auto producer = client.MakeProducer({});
    EXPECT_TRUE(producer.ok()) << producer.status();
    return producer->Send(MakeMessage()).status();
  }
  absl::Status Assign(const Client& client) {
    auto consumer = client.MakePullConsumer({});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer->Assign("t", 0, StartAt::First()).status();
  }
  absl::Status Subscribe(const Client& client) {
    SimpleConsumerOptions options;
    options.group = "g";
    auto consumer = client.MakeSimpleConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return consumer->Subscribe("t");
  }
  // Each of them is told `code`, and soon: the time-outs of all are longer than the test's.
  void ExpectAll(absl::StatusCode code, const std::string& message) {
    const Client client = Connect();
    for (const absl::Status& status : {Send(client), Assign(client), Subscribe(client)}) {
      EXPECT_EQ(status.code(), code) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    }
  }

  std::set<std::string> Calls() {
    std::set<std::string> calls;
    for (const auto& signature : broker_.seen().signatures) calls.insert(signature.call);
    return calls;
  }

  FakeBroker broker_;
  Errors errors_;
};

FakeBroker::Options WithoutWatches() {
  FakeBroker::Options options;
  options.watches = false;
  return options;
}

class AskingAccessTest : public AccessTest {
 protected:
  AskingAccessTest() : AccessTest(WithoutWatches()) {}
};

bool IsOfAlice(const FakeBroker::Signature& signature) {
  const auto claim = ParseAuthorization(signature.authorization);
  return claim.has_value() && claim->access_key == kUser &&
         IsSignature(claim->signature, signature.date_time, kSecret);
}

TEST_F(AccessTest, OneKeyWithoutTheOtherIsNoUse) {
  ClientOptions options;
  options.endpoint = broker_.address();
  options.access_key = kUser;
  EXPECT_THAT(Client::Connect(options).status().ToString(),
              HasSubstr("INVALID_ARGUMENT: the secret key is empty"));
  std::swap(options.access_key, options.secret_key);
  EXPECT_THAT(Client::Connect(options).status().ToString(),
              HasSubstr("INVALID_ARGUMENT: the access key is empty"));
  options.access_key = "no\nheader";
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect(options).status()));
}

TEST_F(AccessTest, EveryCallIsSigned) {
  const Client client = Connect();
  EXPECT_TRUE(Send(client).ok());
  EXPECT_TRUE(Assign(client).ok());
  EXPECT_TRUE(Subscribe(client).ok());
  EXPECT_THAT(Calls(), IsSupersetOf({"Publish", "Subscribe", "WatchRoutes"}));
  for (const auto& signature : broker_.seen().signatures) {
    EXPECT_TRUE(IsOfAlice(signature)) << signature.call << ": " << signature.authorization;
  }
}

TEST_F(AskingAccessTest, SoIsEveryQuestionForARoute) {
  EXPECT_TRUE(Send(Connect()).ok());
  EXPECT_THAT(Calls(), IsSupersetOf({"Publish", "QueryRoute"}));
  for (const auto& signature : broker_.seen().signatures) {
    EXPECT_TRUE(IsOfAlice(signature)) << signature.call << ": " << signature.authorization;
  }
}

TEST_F(AccessTest, WithoutCredentialsNothingIs) {
  EXPECT_TRUE(Send(Connect("", "")).ok());
  EXPECT_FALSE(broker_.seen().signatures.empty());
  for (const auto& signature : broker_.seen().signatures) {
    EXPECT_EQ(signature.date_time + signature.authorization, "") << signature.call;
  }
}

TEST_F(AccessTest, WhoIsTurnedAwayIsToldSo) {
  broker_.TurnAway({grpc::StatusCode::UNAUTHENTICATED, "no such user"});
  ExpectAll(absl::StatusCode::kUnauthenticated, "no such user");
}

TEST_F(AccessTest, WhoMayNotIsToldSo) {
  broker_.TurnAway({grpc::StatusCode::PERMISSION_DENIED, "alice may not"});
  ExpectAll(absl::StatusCode::kPermissionDenied, "alice may not");
}

TEST_F(AccessTest, ARouteThatMayNotBeSeenIsToldSo) {
  broker_.DenyRoutes(v2::UNAUTHORIZED);
  ExpectAll(absl::StatusCode::kUnauthenticated, "UNAUTHORIZED");
}

TEST_F(AskingAccessTest, SoItIsWhenItWasAskedFor) {
  broker_.DenyRoutes(v2::UNAUTHORIZED);
  ExpectAll(absl::StatusCode::kUnauthenticated, "UNAUTHORIZED");
}

TEST_F(AccessTest, ATopicThatMayNotBeUsedIsToldSo) {
  broker_.RefuseBindings(1000, v2::UNAUTHORIZED);
  broker_.DenyAttaches(v2::UNAUTHORIZED);
  ExpectAll(absl::StatusCode::kUnauthenticated, "UNAUTHORIZED");
}

TEST_F(AccessTest, AMessageThatMayNotBeSentIsToldSo) {
  broker_.Refuse([](const v2::Message&) { return FakeBroker::Refusal{v2::UNAUTHORIZED}; });
  EXPECT_TRUE(absl::IsUnauthenticated(Send(Connect())));
  EXPECT_EQ(broker_.seen().publish_calls, 1);
}

TEST_F(AccessTest, AProducerThatLosesItsUserIsToldAndGoesOnWhenItIsBack) {
  const Client client = Connect();
  auto producer = client.MakeProducer({});
  ASSERT_TRUE(producer.ok()) << producer.status();
  ASSERT_TRUE(producer->Send(MakeMessage()).ok());
  broker_.TurnAway({grpc::StatusCode::UNAUTHENTICATED, "disabled"});
  broker_.BreakStreams();
  // One that was on its way when the call broke may have been stored.
  absl::Status last;
  for (int i = 0; i < 3 && last.ok(); ++i) last = producer->Send(MakeMessage()).status();
  EXPECT_TRUE(absl::IsUnauthenticated(last)) << last;
  broker_.TurnAway(grpc::Status::OK);
  EXPECT_TRUE(producer->Send(MakeMessage()).ok());
}

TEST_F(AccessTest, APushConsumerThatLosesItsUserEnds) {
  for (const bool broadcasting : {false, true}) {
    broker_.TurnAway(grpc::Status::OK);
    PushConsumerOptions options;
    options.group = "g";
    options.subscriptions = {{"t"}};
    if (broadcasting) options.broadcasting.emplace();
    options.listener = [](const ReceivedMessage&) { return ConsumeResult::kAck; };
    Errors errors;
    options.on_error = [&errors](const absl::Status& status) { errors.Add(status); };
    auto consumer = Connect().MakePushConsumer(options);
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    broker_.TurnAway({grpc::StatusCode::UNAUTHENTICATED, "disabled"});
    broker_.BreakStreams();
    EXPECT_THAT(errors.Await(absl::StatusCode::kUnauthenticated).ToString(), HasSubstr("disabled"))
        << "broadcasting: " << broadcasting;
  }
}

TEST_F(AccessTest, ALitePushConsumerThatIsTurnedAwayEnds) {
  broker_.TurnAway({grpc::StatusCode::UNAUTHENTICATED, "disabled"});
  LitePushConsumerOptions options;
  options.topic = "t";
  options.group = "g";
  options.listener = [](const ReceivedLiteMessage&) { return ConsumeResult::kAck; };
  options.on_error = [this](const absl::Status& status) { errors_.Add(status); };
  auto consumer = Connect().MakeLitePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_THAT(errors_.Await(absl::StatusCode::kUnauthenticated).ToString(), HasSubstr("disabled"));
  // Its threads end, and with them every use of it.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  absl::Status subscribed;
  do {
    subscribed = consumer->Subscribe("l");
  } while (!absl::IsFailedPrecondition(subscribed) && std::chrono::steady_clock::now() < deadline);
  EXPECT_TRUE(absl::IsFailedPrecondition(subscribed)) << subscribed;
}

}  // namespace
}  // namespace dunlin
