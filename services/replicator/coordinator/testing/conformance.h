// What every Coordinator that elects promises, as a typed test suite.
//
// A coordinator's test makes a Setting (see below) and instantiates CoordinatorConformance with it.

#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "gtest/gtest.h"

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/coordinator/testing/probe.h"

namespace dunlin::replicator {

// A Setting has:
//   std::unique_ptr<Coordinator> Connect(const MemberName& member);  // of one and the same group
//   bool Await(const std::function<bool()>& condition);   // lets time pass; false: too much of it
//   void Pass(Duration time);
//   Duration Ttl() const;    // longer than machines stand still: no lease ends by itself
//   void UseShortLeases();   // of those who connect from now on, for tests that wait for the end

template <typename Setting>
class CoordinatorConformance : public testing::Test {
 protected:
  std::unique_ptr<Probe> Connect(const MemberName& member) {
    auto probe = std::make_unique<Probe>(setting_.Connect(member));
    EXPECT_TRUE(Await([&] { return probe->view().has_value(); })) << "no first view";
    return probe;
  }
  bool Await(const std::function<bool()>& condition) { return setting_.Await(condition); }

  // Calls and waits for the result; UNAVAILABLE is tried again, as a member does.
  Coordinator::Result Ask(const std::function<void(Coordinator::Done)>& call) {
    for (;;) {
      const auto outcome = std::make_unique<Probe::Outcome>();
      call(outcome->Take());
      EXPECT_TRUE(Await([&] { return outcome->result().has_value(); })) << "no result";
      if (!outcome->result().has_value()) return {};
      if (!absl::IsUnavailable(outcome->result()->status)) return *outcome->result();
    }
  }
  Coordinator::Result Elect(Probe& probe, int64_t version, const GroupRecord& record) {
    return Ask([&](auto done) { probe->Elect(version, record, std::move(done)); });
  }
  Coordinator::Result Update(Probe& probe, int64_t version, const GroupRecord& record) {
    return Ask([&](auto done) { probe->Update(version, record, std::move(done)); });
  }
  Coordinator::Result KeepAlive(Probe& probe) {
    return Ask([&](auto done) { probe->KeepAlive(std::move(done)); });
  }
  Coordinator::Result Release(Probe& probe, int64_t version, const GroupRecord& record) {
    return Ask([&](auto done) { probe->Release(version, record, std::move(done)); });
  }

  Setting setting_;
};

TYPED_TEST_SUITE_P(CoordinatorConformance);

TYPED_TEST_P(CoordinatorConformance, AGroupBeginsWithoutRecordAndLease) {
  const auto a = this->Connect("a");
  EXPECT_EQ(0, a->view()->version);
  EXPECT_FALSE(a->view()->record.has_value());
  EXPECT_FALSE(a->view()->lease.has_value());
}

TYPED_TEST_P(CoordinatorConformance, AnElectionWritesRecordAndLeaseTogetherAndAllSeeIt) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const GroupRecord record{.epoch = Epoch(3),
                           .master = "a",
                           .in_sync = {"a", "b"},
                           .preferred = "b",
                           .unclean_epoch = Epoch(2)};
  const auto result = this->Elect(*a, 0, record);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(this->setting_.Ttl(), result.ttl);
  ASSERT_TRUE(result.view.has_value());
  EXPECT_EQ(record, result.view->record);
  EXPECT_NE(0, result.view->version);
  EXPECT_EQ((LeaseHolder{"a", Epoch(3)}), result.view->lease);
  for (const auto* probe : {&a, &b}) {
    EXPECT_TRUE(this->Await([&] { return (*probe)->view()->version == result.view->version; }));
    EXPECT_EQ(record, (*probe)->view()->record);
    EXPECT_EQ(result.view->lease, (*probe)->view()->lease);
  }
}

TYPED_TEST_P(CoordinatorConformance, OfTwoCandidatesOneWins) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  Probe::Outcome of_a;
  Probe::Outcome of_b;
  (*a)->Elect(0, MakeRecord(1, "a", {"a"}), of_a.Take());
  (*b)->Elect(0, MakeRecord(1, "b", {"b"}), of_b.Take());
  ASSERT_TRUE(this->Await([&] { return of_a.result().has_value() && of_b.result().has_value(); }));
  EXPECT_NE(of_a.result()->status.ok(), of_b.result()->status.ok());
  const auto& loser = of_a.result()->status.ok() ? of_b : of_a;
  const auto refused = const_cast<Probe::Outcome&>(loser).result();
  EXPECT_EQ(absl::StatusCode::kAborted, refused->status.code());
  ASSERT_TRUE(refused->view.has_value());
  EXPECT_EQ(of_a.result()->status.ok() ? "a" : "b", refused->view->record->master);
}

TYPED_TEST_P(CoordinatorConformance, NobodyIsElectedOverALeaseOrAnotherVersion) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const auto first = this->Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(first.status.ok());
  const int64_t version = first.view->version;
  EXPECT_EQ(absl::StatusCode::kAborted,
            this->Elect(*b, version, MakeRecord(2, "b", {"b"})).status.code());
  ASSERT_TRUE(this->Release(*a, version, *first.view->record).status.ok());
  const auto stale = this->Elect(*b, version, MakeRecord(2, "b", {"b"}));
  EXPECT_EQ(absl::StatusCode::kAborted, stale.status.code());
  ASSERT_TRUE(stale.view.has_value());
  EXPECT_FALSE(stale.view->lease.has_value());
  EXPECT_TRUE(this->Elect(*b, stale.view->version, MakeRecord(2, "b", {"b"})).status.ok());
}

TYPED_TEST_P(CoordinatorConformance, OnlyTheMasterChangesTheRecordAndOnlyTheVersionItKnows) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const auto elected = this->Elect(*a, 0, MakeRecord(1, "a", {"a"}));
  const int64_t version = elected.view->version;
  const auto updated = this->Update(*a, version, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_GT(updated.view->version, version);
  const auto stale = this->Update(*a, version, MakeRecord(1, "a", {"a", "c"}));
  EXPECT_EQ(absl::StatusCode::kAborted, stale.status.code());
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), stale.view->record->in_sync);
  EXPECT_EQ(absl::StatusCode::kAborted,
            this->Update(*b, updated.view->version, MakeRecord(1, "a", {"b"})).status.code());
  EXPECT_TRUE(this->Await([&] { return b->view()->version == updated.view->version; }));
  EXPECT_EQ((std::set<MemberName>{"a", "b"}), b->view()->record->in_sync);
}

TYPED_TEST_P(CoordinatorConformance, ALeaseLivesAsLongAsItIsRenewed) {
  this->setting_.UseShortLeases();
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const auto elected = this->Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  for (int i = 0; i < 8; ++i) {
    this->setting_.Pass(this->setting_.Ttl() / 6);
    const auto renewed = this->KeepAlive(*a);
    ASSERT_TRUE(renewed.status.ok()) << renewed.status;
    EXPECT_EQ(this->setting_.Ttl(), renewed.ttl);
    EXPECT_GT(renewed.sent, elected.sent);
  }
  EXPECT_TRUE(b->view()->lease.has_value());
  EXPECT_EQ(absl::StatusCode::kAborted, this->KeepAlive(*b).status.code()) << "it has none";
  EXPECT_TRUE(this->Await([&] { return !b->view()->lease.has_value(); }));
  EXPECT_EQ(absl::StatusCode::kAborted, this->KeepAlive(*a).status.code());
  EXPECT_EQ(absl::StatusCode::kAborted,
            this->Update(*a, elected.view->version, MakeRecord(1, "a", {"a"})).status.code());
  EXPECT_EQ("a", b->view()->record->master) << "the record stays";
  EXPECT_TRUE(this->Elect(*b, b->view()->version, MakeRecord(2, "b", {"a", "b"})).status.ok());
}

// A master that went on without its coordinator, by what its peers pledged.
TYPED_TEST_P(CoordinatorConformance, ALeaseThatRanOutIsTakenAgainInItsEpoch) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const auto elected = this->Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  ASSERT_TRUE(elected.status.ok());
  ASSERT_TRUE(this->Await([&] { return b->view()->lease.has_value(); }));
  ASSERT_TRUE(this->Await([&] { return !a->view()->lease.has_value(); }));
  const auto taken = this->Elect(*a, a->view()->version, *a->view()->record);
  ASSERT_TRUE(taken.status.ok()) << taken.status;
  EXPECT_EQ(elected.view->record, taken.view->record);
  EXPECT_EQ((LeaseHolder{"a", Epoch(1)}), taken.view->lease);
  EXPECT_GT(taken.view->version, elected.view->version);
  EXPECT_TRUE(this->KeepAlive(*a).status.ok());
  const auto updated = this->Update(*a, taken.view->version, MakeRecord(1, "a", {"a"}));
  EXPECT_TRUE(updated.status.ok()) << updated.status;
  EXPECT_TRUE(this->Await(
      [&] { return b->view()->lease.has_value() && b->view()->version == updated.view->version; }));
}

TYPED_TEST_P(CoordinatorConformance, ALeaseThatIsGivenUpIsFreeAtOnce) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  const auto elected = this->Elect(*a, 0, MakeRecord(1, "a", {"a", "b"}));
  GroupRecord record = *elected.view->record;
  record.preferred = "b";
  const auto released = this->Release(*a, elected.view->version, record);
  ASSERT_TRUE(released.status.ok()) << released.status;
  EXPECT_FALSE(released.view->lease.has_value());
  EXPECT_TRUE(this->Await([&] { return b->view()->version == released.view->version; }));
  EXPECT_EQ("b", b->view()->record->preferred);
  EXPECT_FALSE(b->view()->lease.has_value()) << "one change, seen as one";
  EXPECT_EQ(absl::StatusCode::kAborted, this->KeepAlive(*a).status.code());
  EXPECT_TRUE(this->Elect(*b, released.view->version, MakeRecord(2, "b", {"a", "b"})).status.ok());
}

TYPED_TEST_P(CoordinatorConformance, TheLeaseOfAFormerLifeCanBeGivenUp) {
  int64_t version = 0;
  {
    const auto former = this->Connect("a");
    version = this->Elect(*former, 0, MakeRecord(1, "a", {"a"})).view->version;
  }
  const auto a = this->Connect("a");
  EXPECT_EQ("a", a->view()->lease->name);
  EXPECT_EQ(absl::StatusCode::kAborted, this->KeepAlive(*a).status.code());
  EXPECT_TRUE(this->Release(*a, version, MakeRecord(1, "a", {"a"})).status.ok());
}

TYPED_TEST_P(CoordinatorConformance, RevisionsOfViewsAscend) {
  const auto a = this->Connect("a");
  const auto b = this->Connect("b");
  int64_t version = this->Elect(*a, 0, MakeRecord(1, "a", {"a"})).view->version;
  for (int i = 0; i < 10; ++i) {
    const auto updated =
        this->Update(*a, version, MakeRecord(1, "a", {"a", i % 2 == 0 ? "b" : "c"}));
    ASSERT_TRUE(updated.status.ok());
    version = updated.view->version;
  }
  ASSERT_TRUE(this->Await([&] { return b->view()->version == version; }));
  int64_t last = -1;
  for (const GroupView& view : b->views()) {
    EXPECT_GT(view.revision, last);
    last = view.revision;
  }
}

REGISTER_TYPED_TEST_SUITE_P(CoordinatorConformance, AGroupBeginsWithoutRecordAndLease,
                            AnElectionWritesRecordAndLeaseTogetherAndAllSeeIt,
                            OfTwoCandidatesOneWins, NobodyIsElectedOverALeaseOrAnotherVersion,
                            OnlyTheMasterChangesTheRecordAndOnlyTheVersionItKnows,
                            ALeaseLivesAsLongAsItIsRenewed, ALeaseThatRanOutIsTakenAgainInItsEpoch,
                            ALeaseThatIsGivenUpIsFreeAtOnce, TheLeaseOfAFormerLifeCanBeGivenUp,
                            RevisionsOfViewsAscend);

}  // namespace dunlin::replicator
