#include "clients/cpp/src/route_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "dunlin/client.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"

namespace dunlin::internal {
namespace {

using testing::FakeBroker;
using Seen = testing::FakeBroker::Seen;

constexpr std::chrono::seconds kPatience{20};

uint32_t Queues(const Route& route) {
  uint32_t queues = 0;
  for (const BrokerRoute& broker : route.brokers) queues += broker.queues;
  return queues;
}

class Listener final : public RouteListener {
 public:
  void OnRoute(const std::string& topic, const Route& route) override {
    MutexLock lock(mutex_);
    if (topic == "t") routes_.push_back(route);
    changed_.SignalAll();
  }

  // Waits for the newest route of topic t to have so many queues; 0: there is no topic.
  bool Await(uint32_t queues) {
    const SteadyTime deadline = steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (routes_.empty() || Queues(routes_.back()) != queues) {
      if (!changed_.WaitUntil(mutex_, deadline)) return false;
    }
    return routes_.back().exists() == (queues > 0);
  }

  std::vector<Route> Routes() {
    MutexLock lock(mutex_);
    return routes_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<Route> routes_ ABSL_GUARDED_BY(mutex_);
};

class RouteCacheTest : public ::testing::Test {
 protected:
  void Start(const FakeBroker::Options& options = {},
             std::chrono::milliseconds poll_interval = std::chrono::hours(1)) {
    broker_ = std::make_unique<FakeBroker>(options);
    broker_->AddTopic("t");
    ClientOptions client;
    client.endpoint = broker_->address();
    client.route_poll_interval = poll_interval;
    auto connection = Connection::Make(client);
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
  }
  RouteCache& Routes() { return connection_->routes(); }

  Listener listener_;
  Listener other_;
  std::unique_ptr<FakeBroker> broker_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(RouteCacheTest, ARouteIsToldAndItsChanges) {
  Start();
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  const uint32_t id = listener_.Routes().back().brokers.at(0).topic_id;
  broker_->AddQueues("t", 3);
  ASSERT_TRUE(listener_.Await(5));
  broker_->DeleteTopic("t");
  ASSERT_TRUE(listener_.Await(0));
  broker_->AddTopic("t");
  ASSERT_TRUE(listener_.Await(2));
  EXPECT_NE(listener_.Routes().back().brokers.at(0).topic_id, id);
  EXPECT_EQ(listener_.Routes().size(), 4u);
  EXPECT_EQ(broker_->seen().watch_calls, 1);
  EXPECT_EQ(broker_->seen().queries, 0);
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, WhoFollowsLaterIsToldWhatIsKnown) {
  Start();
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  Routes().Follow("t", &other_);
  ASSERT_TRUE(other_.Await(2));
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  ASSERT_TRUE(other_.Await(3));
  // One of them is enough to keep the topic.
  Routes().Forget(&listener_);
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(other_.Await(4));
  EXPECT_EQ(Queues(listener_.Routes().back()), 3u);
  EXPECT_EQ(broker_->seen().watch_calls, 1);
  Routes().Forget(&other_);
}

TEST_F(RouteCacheTest, OneCallWatchesAllTopicsThatAreFollowed) {
  Start();
  std::set<std::string> topics = {"t"};
  for (int i = 0; i < 3000; ++i) topics.insert("topic-" + std::to_string(i));
  for (const std::string& topic : topics) Routes().Follow(topic, &listener_);
  ASSERT_TRUE(broker_->Await([&](const Seen& seen) { return seen.watched == topics; }));
  for (const std::string& topic : topics) {
    if (topic != "t") Routes().Leave(topic, &listener_);
  }
  ASSERT_TRUE(broker_->Await([&](const Seen& seen) { return seen.watched.size() == 1; }));
  // Left and followed again, one right after the other.
  Routes().Leave("t", &listener_);
  Routes().Follow("t", &listener_);
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  EXPECT_EQ(broker_->seen().watch_calls, 1);
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, AfterABreakOnlyWhatChangedIsTold) {
  Start();
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  for (int round = 1; round <= 3; ++round) {
    broker_->BreakStreams();
    ASSERT_TRUE(broker_->Await([&](const Seen& seen) {
      return seen.renewals.contains("t") && seen.renewals.at("t") == round;
    }));
  }
  EXPECT_EQ(broker_->seen().told.at("t"), 1);
  broker_->BreakStreams();
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, AServerThatKnowsNoWatchIsAskedAtIntervals) {
  FakeBroker::Options options;
  options.watches = false;
  Start(options, std::chrono::milliseconds(10));
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  Routes().Follow("other", &listener_);
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  broker_->DeleteTopic("t");
  ASSERT_TRUE(listener_.Await(0));
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, WhileTheWatchIsBrokenTheServerIsAsked) {
  Start({}, std::chrono::milliseconds(10));
  broker_->RefuseWatches(true);
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, WhatIsUnknownIsAskedForAtOnceAndWatchedAgainSoon) {
  Start();  // asks every hour
  broker_->RefuseWatches(true);
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(2));
  broker_->RefuseWatches(false);
  broker_->AddQueues("t", 1);
  ASSERT_TRUE(listener_.Await(3));
  EXPECT_EQ(broker_->seen().queries, 1);
  EXPECT_EQ(broker_->seen().told.at("t"), 1);
  Routes().Forget(&listener_);
}

TEST_F(RouteCacheTest, ATopicThatComesToBeIsTold) {
  Start();
  broker_->DeleteTopic("t");
  Routes().Follow("t", &listener_);
  ASSERT_TRUE(listener_.Await(0));
  broker_->AddTopic("t");
  ASSERT_TRUE(listener_.Await(2));
  Routes().Forget(&listener_);
}

}  // namespace
}  // namespace dunlin::internal
