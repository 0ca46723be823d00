// EtcdCoordinator against a real etcd.
#include "services/replicator/coordinator/etcd_coordinator.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "proto/etcd/v3/rpc.grpc.pb.h"
#include "services/replicator/coordinator/testing/breathe.h"
#include "services/replicator/coordinator/testing/conformance.h"
#include "services/replicator/coordinator/testing/etcd_server.h"
#include "services/replicator/coordinator/testing/probe.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;

class EtcdSetting {
 public:
  std::unique_ptr<Coordinator> Connect(const MemberName& member) {
    return ConnectTo({etcd_.endpoint()}, member);
  }
  std::unique_ptr<Coordinator> ConnectTo(std::vector<std::string> endpoints,
                                         const MemberName& member) {
    EtcdCoordinator::Options options;
    options.endpoints = std::move(endpoints);
    options.credentials = grpc::InsecureChannelCredentials();
    options.group = "orders";
    options.member = member;
    options.ttl = std::chrono::duration_cast<seconds>(Ttl());
    options.call_timeout = call_timeout_;
    return std::make_unique<EtcdCoordinator>(std::move(options));
  }
  bool Await(const std::function<bool()>& condition) {
    const auto deadline = steady_clock::now() + minutes(2);
    while (!condition()) {
      if (steady_clock::now() > deadline) return false;
      Breathe(milliseconds(5));
    }
    return true;
  }
  void Pass(Duration time) { Breathe(time); }
  Duration Ttl() const { return ttl_; }
  void UseShortLeases() { ttl_ = seconds(6); }
  void SetTtl(Duration ttl) { ttl_ = ttl; }
  // Members try soon again by default; here what is slow is waited for.
  void SetCallTimeout(milliseconds timeout) { call_timeout_ = timeout; }
  EtcdServer& Etcd() { return etcd_; }

 private:
  Duration ttl_ = minutes(1);
  milliseconds call_timeout_ = seconds(20);
  EtcdServer etcd_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Etcd, CoordinatorConformance, EtcdSetting);

class EtcdCoordinatorTest : public CoordinatorConformance<EtcdSetting> {
 protected:
  EtcdServer& Etcd() { return setting_.Etcd(); }
  // Somebody else's work on the same etcd.
  std::unique_ptr<etcdserverpb::KV::Stub> Other() {
    return etcdserverpb::KV::NewStub(
        grpc::CreateChannel(Etcd().endpoint(), grpc::InsecureChannelCredentials()));
  }
  int64_t PutOther(const std::string& key) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value("x");
    etcdserverpb::PutResponse response;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    EXPECT_TRUE(Other()->Put(&context, request, &response).ok());
    return response.header().revision();
  }
  std::string GetOther(const std::string& key) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    etcdserverpb::RangeResponse response;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    EXPECT_TRUE(Other()->Range(&context, request, &response).ok());
    return response.kvs_size() == 1 ? response.kvs(0).value() : "";
  }
};

TEST_F(EtcdCoordinatorTest, WithoutEtcdNothingIsKnown) {
  Etcd().Kill();
  Probe probe(setting_.Connect("a"));
  Probe::Outcome outcome;
  probe->KeepAlive([](Coordinator::Result) {});
  probe->Elect(0, MakeRecord(1, "a", {"a"}), outcome.Take());
  ASSERT_TRUE(Await([&] { return outcome.result().has_value(); }));
  EXPECT_EQ(absl::StatusCode::kUnavailable, outcome.result()->status.code());
  EXPECT_FALSE(probe.view().has_value());
  Etcd().Start();
  EXPECT_TRUE(Await([&] { return probe.view().has_value(); }));
}

TEST_F(EtcdCoordinatorTest, AKilledEtcdThatComesBackFindsTheLeaseAsItWas) {
  const auto a = Connect("a");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a"}));
  ASSERT_TRUE(elected.status.ok());
  Etcd().Kill();
  Probe::Outcome outcome;
  (*a)->KeepAlive(outcome.Take());
  ASSERT_TRUE(Await([&] { return outcome.result().has_value(); }));
  EXPECT_EQ(absl::StatusCode::kUnavailable, outcome.result()->status.code());
  EXPECT_LE(outcome.result()->ttl, Duration(0)) << "a lease that nobody renewed";
  Etcd().Start();
  const auto renewed = KeepAlive(*a);
  EXPECT_TRUE(renewed.status.ok()) << renewed.status;
  const auto updated = Update(*a, elected.view->version, MakeRecord(1, "a", {"a", "b"}));
  EXPECT_TRUE(updated.status.ok()) << updated.status;
}

TEST_F(EtcdCoordinatorTest, ChangesThatAWatchMissedAreFoundWhenEtcdComesBack) {
  const auto a = Connect("a");
  const auto b = Connect("b");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a"}));
  ASSERT_TRUE(Await([&] { return b->view()->version == elected.view->version; }));
  Etcd().Kill();
  Etcd().Start();
  const auto updated = Update(*a, elected.view->version, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_TRUE(Await([&] { return b->view()->version == updated.view->version; }));
}

TEST_F(EtcdCoordinatorTest, HistoryThatWasCompactedAwayMeanwhileIsNotMissed) {
  setting_.SetTtl(seconds(3));
  setting_.SetCallTimeout(seconds(3));
  const auto a = Connect("a");
  const auto b = Connect("b");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a"}));
  ASSERT_TRUE(elected.status.ok());
  ASSERT_TRUE(Await([&] { return b->view()->version == elected.view->version; }));
  // While no watch can be made, history goes on and what it was is thrown away.
  Etcd().Freeze();
  setting_.Pass(seconds(4));
  Etcd().Thaw();
  for (int i = 0; i < 20; ++i) PutOther("/other/key");
  etcdserverpb::CompactionRequest request;
  request.set_revision(PutOther("/other/key"));
  etcdserverpb::CompactionResponse response;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  ASSERT_TRUE(Other()->Compact(&context, request, &response).ok());
  ASSERT_TRUE(Await([&] { return !b->view()->lease.has_value(); })) << "nobody renewed it";
  ASSERT_TRUE(Elect(*b, b->view()->version, MakeRecord(2, "b", {"a", "b"})).status.ok());
  EXPECT_TRUE(Await([&] { return a->view()->record->epoch == Epoch(2); }));
}

TEST_F(EtcdCoordinatorTest, AnotherEndpointIsTriedWhenOneIsDead) {
  auto probe = std::make_unique<Probe>(
      setting_.ConnectTo({"127.0.0.1:1", "127.0.0.1:2", Etcd().endpoint()}, "a"));
  ASSERT_TRUE(Await([&] { return probe->view().has_value(); }));
  EXPECT_TRUE(Elect(*probe, 0, MakeRecord(1, "a", {"a"})).status.ok());
  EXPECT_TRUE(KeepAlive(*probe).status.ok());
}

TEST_F(EtcdCoordinatorTest, AnEtcdThatStandsStillHoldsUpNobody) {
  setting_.SetCallTimeout(seconds(5));
  const auto a = Connect("a");
  ASSERT_TRUE(Elect(*a, 0, MakeRecord(1, "a", {"a"})).status.ok());
  Etcd().Freeze();
  // Calls that waited for their answers would take a hundred seconds.
  const auto before = steady_clock::now();
  for (int i = 0; i < 19; ++i) (*a)->KeepAlive([](const Coordinator::Result&) {});
  Probe::Outcome outcome;
  (*a)->KeepAlive(outcome.Take());
  EXPECT_LT(steady_clock::now() - before, seconds(50)) << "the calls waited";
  ASSERT_TRUE(Await([&] { return outcome.result().has_value(); }));
  EXPECT_EQ(absl::StatusCode::kUnavailable, outcome.result()->status.code());
  Etcd().Thaw();
}

TEST_F(EtcdCoordinatorTest, WhatIsStoredIsReadable) {
  const auto a = Connect("a");
  ASSERT_TRUE(Elect(*a, 0, MakeRecord(7, "a", {"a", "b"})).status.ok());
  EXPECT_EQ(R"({"epoch":7,"master":"a","inSync":["a","b"],"preferred":"","uncleanEpoch":0,)"
            R"("members":[],"lastMemberId":0})",
            GetOther("/dunlin/orders/record"));
  EXPECT_EQ(R"({"holder":"a","epoch":7})", GetOther("/dunlin/orders/lease"));
}

TEST_F(EtcdCoordinatorTest, GroupsWithACommonBeginningOfTheirNamesDoNotMeet) {
  PutOther("/dunlin/orders2/record");
  PutOther("/dunlin/order/record");
  PutOther("/dunlin/orders/stranger");
  const auto a = Connect("a");
  EXPECT_FALSE(a->view()->record.has_value());
  EXPECT_TRUE(Elect(*a, 0, MakeRecord(1, "a", {"a"})).status.ok());
}

TEST_F(EtcdCoordinatorTest, StopsWhileCallsAreUnderWay) {
  Etcd().Freeze();
  for (int i = 0; i < 10; ++i) {
    std::unique_ptr<Coordinator> coordinator = setting_.Connect("a");
    coordinator->Start([](const GroupView&) {});
    for (int call = 0; call < 3; ++call) {
      coordinator->Elect(0, MakeRecord(1, "a", {"a"}), [](Coordinator::Result) {});
      coordinator->KeepAlive([](Coordinator::Result) {});
    }
    coordinator->Stop();
  }
  Etcd().Thaw();
}

}  // namespace
}  // namespace dunlin::replicator
