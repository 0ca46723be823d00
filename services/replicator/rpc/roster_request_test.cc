#include "services/replicator/rpc/roster_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::replicator {
namespace {

using Kind = RosterChange::Kind;

TEST(RosterRequestTest, AChangeComesBackAsItWas) {
  const RosterChange changes[] = {
      {.kind = Kind::kAdd, .member = "d", .address = "host-d:10912"},
      {.kind = Kind::kAdd, .member = "d-2_x", .address = "[::1]:1", .learner = true},
      {.kind = Kind::kRemove, .member = "c"},
      {.kind = Kind::kRemove, .member = "c", .force = true},
      {.kind = Kind::kSetAddress, .member = "c", .address = "10.0.0.1:10912"}};
  for (const RosterChange& change : changes) {
    const absl::StatusOr<RosterChange> read = RosterChangeOf(RequestOf(change));
    ASSERT_OK(read);
    EXPECT_EQ(read->ToString(), change.ToString());
  }
}

TEST(RosterRequestTest, SaysWhatIsWrong) {
  const auto refused = [](const RosterChange& change, const std::string& words) {
    EXPECT_THAT(RosterChangeOf(RequestOf(change)),
                StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr(words)));
  };
  refused({.kind = Kind::kAdd, .member = "", .address = "host:1"}, "1 to 127 letters");
  refused({.kind = Kind::kAdd, .member = "a=b", .address = "host:1"}, "a=b");
  refused({.kind = Kind::kAdd, .member = "d", .address = "host"}, "not HOST:PORT");
  EXPECT_THAT(RosterChangeOf({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                           ::testing::HasSubstr("without a change")));
}

}  // namespace
}  // namespace dunlin::replicator
