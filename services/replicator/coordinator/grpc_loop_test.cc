#include "services/replicator/coordinator/grpc_loop.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dunlin::replicator {
namespace {

TEST(GrpcLoopTest, RunsWhatIsPostedInOrder) {
  GrpcLoop loop("loop");
  std::vector<int> ran;
  for (int i = 0; i < 100; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  loop.Stop([] {});
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i);
}

// Behind it somebody waits for an answer.
TEST(GrpcLoopTest, WhatIsPostedWhileItStopsRunsAndKnowsThatItIsLate) {
  GrpcLoop loop("loop");
  std::string ran;
  loop.Stop([&] {
    loop.Post([&] {
      ran += loop.stopping() ? "late " : "early ";
      loop.Post([&] { ran += "later"; });
      loop.After(Duration(1), [&] { ran += " never"; });
    });
  });
  EXPECT_EQ(ran, "late later");
  loop.Post([&] { ran += " after"; });
  loop.Stop([&] { ran += " again"; });
  EXPECT_EQ(ran, "late later") << "nothing runs any more";
}

}  // namespace
}  // namespace dunlin::replicator
