#include "services/replicator/coordinator/static_coordinator.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"

#include "services/base/mutex.h"
#include "services/replicator/coordinator/testing/probe.h"

namespace dunlin::replicator {
namespace {

// Results come in order: after the last one all are there.
Coordinator::Result Ask(Coordinator& coordinator,
                        const std::function<void(Coordinator::Done)>& call) {
  Mutex mutex;
  CondVar changed;
  std::optional<Coordinator::Result> result;
  call([&](Coordinator::Result done) {
    MutexLock lock(mutex);
    result = std::move(done);
    changed.Signal();
  });
  static_cast<void>(coordinator);
  MutexLock lock(mutex);
  while (!result.has_value()) changed.Wait(mutex);
  return *result;
}

TEST(StaticCoordinator, TheConfiguredMasterIsElectedForEver) {
  Probe a(std::make_unique<StaticCoordinator>("a", "a"));
  const auto elected =
      Ask(*a, [&](auto done) { a->Elect(0, MakeRecord(4, "a", {"a"}), std::move(done)); });
  ASSERT_TRUE(elected.status.ok()) << elected.status;
  EXPECT_EQ(Duration::max(), elected.ttl);
  EXPECT_EQ((LeaseHolder{"a", Epoch(4)}), elected.view->lease);
  const auto updated = Ask(*a, [&](auto done) {
    a->Update(elected.view->version, MakeRecord(4, "a", {"a", "b"}), std::move(done));
  });
  ASSERT_TRUE(updated.status.ok());
  EXPECT_EQ(absl::StatusCode::kAborted, Ask(*a, [&](auto done) {
                                          a->Update(elected.view->version,
                                                    MakeRecord(4, "a", {"a"}), std::move(done));
                                        }).status.code());
  EXPECT_TRUE(Ask(*a, [&](auto done) { a->KeepAlive(std::move(done)); }).status.ok());
}

TEST(StaticCoordinator, MayBeElectedAnewAfterItGaveTheLeaseUp) {
  Probe a(std::make_unique<StaticCoordinator>("a", "a"));
  const auto elected =
      Ask(*a, [&](auto done) { a->Elect(0, MakeRecord(4, "a", {"a"}), std::move(done)); });
  const auto released = Ask(*a, [&](auto done) {
    a->Release(elected.view->version, *elected.view->record, std::move(done));
  });
  ASSERT_TRUE(released.status.ok());
  EXPECT_FALSE(released.view->lease.has_value());
  EXPECT_TRUE(Ask(*a, [&](auto done) {
                a->Elect(released.view->version, MakeRecord(5, "a", {"a"}), std::move(done));
              }).status.ok());
}

TEST(StaticCoordinator, ASlaveSeesTheMasterAndIsNeverElected) {
  Probe b(std::make_unique<StaticCoordinator>("b", "a"));
  const auto refused =
      Ask(*b, [&](auto done) { b->Elect(1, MakeRecord(1, "b", {"b"}), std::move(done)); });
  EXPECT_EQ(absl::StatusCode::kAborted, refused.status.code());
  EXPECT_EQ("a", refused.view->lease->name);
  ASSERT_TRUE(b.view().has_value());
  EXPECT_EQ("a", b.view()->record->master);
}

}  // namespace
}  // namespace dunlin::replicator
