// KubernetesCoordinator against a real API server.
#include "services/replicator/coordinator/kubernetes_coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "operator/k8s/testing/control_plane.h"
#include "services/base/clock.h"
#include "services/replicator/coordinator/testing/breathe.h"
#include "services/replicator/coordinator/testing/conformance.h"
#include "services/replicator/coordinator/testing/probe.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;

// One API server for all tests; a Lease for each.
class KubernetesSetting {
 public:
  KubernetesSetting() : lease_{"default", fmt::format("orders-{}", ++leases)} {
    if (control_plane == nullptr) control_plane = new k8s::ControlPlane;
  }
  static void StopControlPlane() { delete std::exchange(control_plane, nullptr); }

  std::unique_ptr<Coordinator> Connect(const MemberName& member) {
    KubernetesCoordinator::Options options;
    options.server = control_plane->Admin();
    options.lease = lease_;
    options.member = member;
    options.ttl = std::chrono::duration_cast<seconds>(Ttl());
    options.call_timeout = call_timeout_;
    return std::make_unique<KubernetesCoordinator>(std::move(options), clock_);
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
  k8s::ControlPlane& Kubernetes() { return *control_plane; }
  const std::string& Lease() const { return lease_.name; }

 private:
  Duration ttl_ = minutes(1);
  milliseconds call_timeout_ = seconds(20);
  static k8s::ControlPlane* control_plane;
  static int leases;
  const SystemClock clock_;
  const k8s::ObjectKey lease_;
};

k8s::ControlPlane* KubernetesSetting::control_plane = nullptr;
int KubernetesSetting::leases = 0;

class StopsTheControlPlane final : public testing::Environment {
 public:
  void TearDown() override { KubernetesSetting::StopControlPlane(); }
};
testing::Environment* const at_the_end =
    testing::AddGlobalTestEnvironment(new StopsTheControlPlane);

INSTANTIATE_TYPED_TEST_SUITE_P(Kubernetes, CoordinatorConformance, KubernetesSetting);

class KubernetesCoordinatorTest : public CoordinatorConformance<KubernetesSetting> {
 protected:
  k8s::ControlPlane& Kubernetes() { return setting_.Kubernetes(); }
  bool IsHeld(Probe& probe) { return probe.view()->lease.has_value(); }
};

TEST_F(KubernetesCoordinatorTest, KubectlShowsWhoIsMaster) {
  const auto a = Connect("a");
  ASSERT_TRUE(Elect(*a, 0, MakeRecord(1, "a", {"a", "b"})).status.ok());
  EXPECT_EQ("a 60",
            Kubernetes().Kubectl({"get", "lease", setting_.Lease(), "-o",
                                  "jsonpath={.spec.holderIdentity} {.spec.leaseDurationSeconds}"}));
}

// While it is away nobody is elected; the lease runs out by everybody's own clock.
TEST_F(KubernetesCoordinatorTest, AnApiServerThatIsAwayLeavesTheLeaseToRunOut) {
  setting_.SetTtl(seconds(20));
  setting_.SetCallTimeout(seconds(4));
  const auto a = Connect("a");
  const auto b = Connect("b");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(elected.status.ok());
  ASSERT_TRUE(Await([&] { return IsHeld(*b); }));
  Kubernetes().KillApiServer();
  Probe::Outcome outcome;
  (*a)->KeepAlive(outcome.Take());
  ASSERT_TRUE(Await([&] { return outcome.result().has_value(); }));
  EXPECT_EQ(absl::StatusCode::kUnavailable, outcome.result()->status.code());
  EXPECT_TRUE(Await([&] { return !IsHeld(*b) && !IsHeld(*a); }));
  Kubernetes().StartApiServer();
  EXPECT_EQ(absl::StatusCode::kAborted, KeepAlive(*a).status.code());
  const auto next = Elect(*b, b->view()->version, MakeRecord(2, "b", {"a", "b"}));
  ASSERT_TRUE(next.status.ok()) << next.status;
  EXPECT_TRUE(Await([&] { return a->view()->lease == next.view->lease; }));
}

// The holder is alive, and only this one's watch is behind.
TEST_F(KubernetesCoordinatorTest, AMemberThatWasAsleepDoesNotTakeALeaseThatWasRenewedMeanwhile) {
  setting_.SetTtl(seconds(20));
  const auto a = Connect("a");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(elected.status.ok());
  // As one that comes new: it has to see the lease stand still for all its time.
  setting_.Pass(setting_.Ttl() / 2);
  const auto b = Connect("b");
  EXPECT_TRUE(IsHeld(*b));
  const auto renewed = KeepAlive(*a);
  ASSERT_TRUE(renewed.status.ok()) << renewed.status;
  setting_.Pass(setting_.Ttl() * 2 / 3);
  EXPECT_TRUE(IsHeld(*b));
  EXPECT_EQ(absl::StatusCode::kAborted,
            Elect(*b, b->view()->version, MakeRecord(2, "b", {"b"})).status.code());
}

// What others write into the object is neither lost nor in the way.
TEST_F(KubernetesCoordinatorTest, LabelsOfOthersStay) {
  const auto a = Connect("a");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a"}));
  ASSERT_TRUE(elected.status.ok());
  Kubernetes().Kubectl({"label", "lease", setting_.Lease(), "team=orders"});
  ASSERT_TRUE(KeepAlive(*a).status.ok());
  const auto updated = Update(*a, elected.view->version, MakeRecord(1, "a", {"a", "b"}));
  EXPECT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_EQ("orders", Kubernetes().Kubectl({"get", "lease", setting_.Lease(), "-o",
                                            "jsonpath={.metadata.labels.team}"}));
}

TEST_F(KubernetesCoordinatorTest, WhoEmptiesTheHolderByHandEndsTheLease) {
  const auto a = Connect("a");
  const auto elected = Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(elected.status.ok());
  Kubernetes().Kubectl({"patch", "lease", setting_.Lease(), "--type=merge", "-p",
                        R"({"spec":{"holderIdentity":""}})"});
  EXPECT_EQ(absl::StatusCode::kAborted, KeepAlive(*a).status.code());
  EXPECT_FALSE(IsHeld(*a));
  EXPECT_EQ(elected.view->record, a->view()->record);
}

}  // namespace
}  // namespace dunlin::replicator
