#include "services/replicator/coordinator/lease_object.h"

#include <gtest/gtest.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::replicator {
namespace {

using std::chrono::seconds;

GroupRecord SomeRecord() {
  return {.epoch = Epoch(7),
          .master = "a",
          .in_sync = {"a", "b"},
          .preferred = "b",
          .unclean_epoch = Epoch(3)};
}
constexpr Timestamp kNow = FromUnixMillis(1'700'000'000'000);

k8s::Json NewLease() { return k8s::NewObject(LeaseType(), {"space", "orders"}); }

TEST(LeaseObjectTest, AGroupWithoutAnObjectHasNothing) {
  const auto read = LeaseObject::Read(k8s::Json());
  ASSERT_OK(read);
  EXPECT_EQ(0, read->writes);
  EXPECT_EQ(0, read->version);
  EXPECT_FALSE(read->record.has_value());
  EXPECT_FALSE(read->holder.has_value());
}

TEST(LeaseObjectTest, WhatIsWrittenIsRead) {
  k8s::Json lease = NewLease();
  BeginWrite(lease, kNow);
  WriteRecord(lease, SomeRecord());
  WriteGrant(lease, {"a", Epoch(7)}, "grant", seconds(5), kNow);
  auto read = LeaseObject::Read(lease);
  ASSERT_OK(read);
  EXPECT_EQ(1, read->writes);
  EXPECT_EQ(1, read->version);
  EXPECT_EQ(SomeRecord(), read->record);
  EXPECT_EQ((LeaseHolder{"a", Epoch(7)}), read->holder);
  EXPECT_EQ("grant", read->grant);
  EXPECT_EQ(seconds(5), read->duration);
  // As tools see it.
  EXPECT_EQ("a", k8s::StringAt(lease, {"spec", "holderIdentity"}));
  EXPECT_EQ(0, k8s::IntAt(lease, {"spec", "leaseTransitions"}, -1));

  BeginWrite(lease, kNow + seconds(1));  // a renewal
  read = LeaseObject::Read(lease);
  ASSERT_OK(read);
  EXPECT_EQ(2, read->writes);
  EXPECT_EQ(1, read->version) << "the record is the same";
  EXPECT_EQ("grant", read->grant);

  BeginWrite(lease, kNow + seconds(2));
  WriteRecord(lease, SomeRecord());
  EraseGrant(lease);
  read = LeaseObject::Read(lease);
  ASSERT_OK(read);
  EXPECT_EQ(2, read->version);
  EXPECT_EQ(SomeRecord(), read->record);
  EXPECT_FALSE(read->holder.has_value());
  EXPECT_EQ("", read->grant);

  BeginWrite(lease, kNow + seconds(3));
  WriteGrant(lease, {"b", Epoch(8)}, "next", seconds(5), kNow + seconds(3));
  EXPECT_EQ(1, k8s::IntAt(lease, {"spec", "leaseTransitions"}, -1));
}

TEST(LeaseObjectTest, WhoeverEmptiesTheHolderByHandFreesTheLease) {
  k8s::Json lease = NewLease();
  BeginWrite(lease, kNow);
  WriteRecord(lease, SomeRecord());
  WriteGrant(lease, {"a", Epoch(7)}, "grant", seconds(5), kNow);
  lease["spec"]["holderIdentity"] = "";
  const auto read = LeaseObject::Read(lease);
  ASSERT_OK(read);
  EXPECT_FALSE(read->holder.has_value());
  EXPECT_EQ(SomeRecord(), read->record);
}

TEST(LeaseObjectTest, WhatNobodyHereWritesIsDamage) {
  k8s::Json lease = NewLease();
  BeginWrite(lease, kNow);
  WriteRecord(lease, SomeRecord());
  for (const char* annotation :
       {"dunlin.dev/record", "dunlin.dev/record-version", "dunlin.dev/writes"}) {
    k8s::Json damaged = lease;
    damaged["metadata"]["annotations"][annotation] = "{";
    EXPECT_EQ(absl::StatusCode::kDataLoss, LeaseObject::Read(damaged).status().code())
        << annotation;
  }
}

}  // namespace
}  // namespace dunlin::replicator
