#include "dunlin/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;
using Strategy = std::function<absl::StatusOr<std::vector<QueueRef>>(const Fellowship&)>;

std::vector<std::string> Consumers(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("consumer-" + std::to_string(100 + i));
  return names;
}

std::vector<uint32_t> Numbers(const absl::StatusOr<std::vector<QueueRef>>& queues) {
  EXPECT_TRUE(queues.ok()) << queues.status();
  std::vector<uint32_t> numbers;
  for (const QueueRef& queue : *queues) numbers.push_back(queue.queue);
  return numbers;
}

// What each gets.
std::map<std::string, std::vector<uint32_t>> Divide(const Strategy& strategy, uint32_t queues,
                                                    int consumers) {
  const std::vector<QueueRef> all = QueuesOf("t", queues);
  const std::vector<std::string> names = Consumers(consumers);
  std::map<std::string, std::vector<uint32_t>> parts;
  for (const std::string& name : names) {
    parts[name] = Numbers(strategy({.queues = all, .consumers = names, .self = name}));
  }
  return parts;
}

constexpr auto kAveragely = AllocateAveragely;
constexpr auto kInCircle = AllocateInCircle;
constexpr auto kConsistently = [](const Fellowship& all) { return AllocateConsistently(all); };

std::vector<Strategy> Strategies() { return {kAveragely, kInCircle, kConsistently}; }

TEST(AllocationTest, NeighboursGoTogether) {
  auto parts = Divide(kAveragely, 8, 3);
  EXPECT_THAT(parts["consumer-100"], ElementsAre(0, 1, 2));
  EXPECT_THAT(parts["consumer-101"], ElementsAre(3, 4, 5));
  EXPECT_THAT(parts["consumer-102"], ElementsAre(6, 7));
  parts = Divide(kAveragely, 2, 3);
  EXPECT_THAT(parts["consumer-101"], ElementsAre(1));
  EXPECT_THAT(parts["consumer-102"], IsEmpty());
}

TEST(AllocationTest, ACircleGivesOneToEachInTurn) {
  auto parts = Divide(kInCircle, 8, 3);
  EXPECT_THAT(parts["consumer-100"], ElementsAre(0, 3, 6));
  EXPECT_THAT(parts["consumer-101"], ElementsAre(1, 4, 7));
  EXPECT_THAT(parts["consumer-102"], ElementsAre(2, 5));
}

TEST(AllocationTest, EveryQueueGoesToOneConsumer) {
  for (const Strategy& strategy : Strategies()) {
    for (uint32_t queues = 0; queues <= 20; ++queues) {
      for (int consumers = 1; consumers <= 9; ++consumers) {
        std::vector<uint32_t> given;
        for (const auto& [name, part] : Divide(strategy, queues, consumers)) {
          given.insert(given.end(), part.begin(), part.end());
        }
        std::sort(given.begin(), given.end());
        std::vector<uint32_t> all(queues);
        for (uint32_t i = 0; i < queues; ++i) all[i] = i;
        EXPECT_EQ(given, all) << queues << " queues, " << consumers << " consumers";
      }
    }
  }
}

TEST(AllocationTest, TheOrderInWhichTheyAreNamedMakesNoDifference) {
  std::vector<QueueRef> queues = QueuesOf("t", 16);
  std::vector<std::string> names = Consumers(5);
  std::mt19937 random(1);
  for (const Strategy& strategy : Strategies()) {
    const auto own = Numbers(strategy({queues, names, "consumer-102"}));
    for (int i = 0; i < 20; ++i) {
      std::shuffle(queues.begin(), queues.end(), random);
      std::shuffle(names.begin(), names.end(), random);
      EXPECT_EQ(Numbers(strategy({queues, names, "consumer-102"})), own);
    }
  }
}

TEST(AllocationTest, FewQueuesMoveOnTheRing) {
  const auto before = Divide(kConsistently, 1000, 10);
  const auto after = Divide(kConsistently, 1000, 11);
  size_t moved = 0;
  for (const auto& [name, part] : before) {
    const std::vector<uint32_t>& now = after.at(name);
    for (uint32_t queue : part) {
      if (std::find(now.begin(), now.end(), queue) == now.end()) ++moved;
    }
    EXPECT_GT(part.size(), 50u) << name;
    EXPECT_LT(part.size(), 180u) << name;
  }
  // Those of the one that came, and no others.
  EXPECT_EQ(moved, after.at("consumer-110").size());
  EXPECT_LT(moved, 180u);
}

TEST(AllocationTest, ARoomIsServedByItsName) {
  std::vector<QueueRef> queues = QueuesOf("t", 4, "here@a");
  const std::vector<QueueRef> there = QueuesOf("t", 4, "there@b");
  queues.insert(queues.end(), there.begin(), there.end());
  queues.push_back({"t", "nowhere", 9});
  const std::vector<std::string> names = Consumers(2);
  const std::vector<std::string> rooms = {"here"};
  const auto own = AllocateByRoom({queues, names, names[1]}, rooms);
  ASSERT_TRUE(own.ok());
  ASSERT_EQ(own->size(), 2u);
  EXPECT_EQ((*own)[0], (QueueRef{"t", "here@a", 2}));
  EXPECT_THAT(Numbers(AllocateByRoom({queues, names, names[1]}, {})), IsEmpty());
}

std::vector<QueueRef> InRooms(const std::vector<std::string>& brokers, uint32_t queues) {
  std::vector<QueueRef> all;
  for (const std::string& broker : brokers) {
    const std::vector<QueueRef> some = QueuesOf("t", queues, broker);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(AllocationTest, ARoomIsServedByItsOwnConsumers) {
  const std::vector<QueueRef> queues = InRooms({"east@a", "west@b"}, 4);
  const std::vector<std::string> names = {"east@1", "east@2", "west@3"};
  const auto part = [&](const std::string& name) { return *AllocateNearby({queues, names, name}); };
  EXPECT_THAT(part("east@1"), ElementsAre(QueueRef{"t", "east@a", 0}, QueueRef{"t", "east@a", 1}));
  EXPECT_THAT(part("east@2"), ElementsAre(QueueRef{"t", "east@a", 2}, QueueRef{"t", "east@a", 3}));
  EXPECT_THAT(part("west@3"), ElementsAreArray(QueuesOf("t", 4, "west@b")));
}

TEST(AllocationTest, ARoomWithoutConsumersIsSharedByAll) {
  const std::vector<QueueRef> queues = InRooms({"east@a", "north@c", "west@b"}, 4);
  const std::vector<std::string> names = {"east@1", "west@2"};
  const auto own = AllocateNearby({queues, names, "west@2"}, {}, AllocateInCircle);
  ASSERT_TRUE(own.ok()) << own.status();
  std::vector<QueueRef> expected = {{"t", "north@c", 1}, {"t", "north@c", 3}};
  const std::vector<QueueRef> west = QueuesOf("t", 4, "west@b");
  expected.insert(expected.end(), west.begin(), west.end());
  EXPECT_THAT(*own, ElementsAreArray(expected));
}

TEST(AllocationTest, EveryQueueOfEveryRoomGoesToOneConsumer) {
  std::mt19937 random(1);
  const std::vector<std::string> rooms = {"east", "north", "south", "west"};
  for (const Strategy& inner : Strategies()) {
    for (int round = 0; round < 50; ++round) {
      std::vector<std::string> brokers;
      std::vector<std::string> names;
      for (unsigned i = random() % 6; i > 0; --i) {
        brokers.push_back(rooms[random() % 4] + "@broker-" + std::to_string(i));
      }
      for (unsigned i = 1 + random() % 6; i > 0; --i) {
        names.push_back(rooms[random() % 4] + "@consumer-" + std::to_string(i));
      }
      std::vector<QueueRef> queues = InRooms(brokers, random() % 5);
      std::vector<QueueRef> given;
      for (const std::string& name : names) {
        const auto part = AllocateNearby({queues, names, name}, {}, inner);
        ASSERT_TRUE(part.ok()) << part.status();
        given.insert(given.end(), part->begin(), part->end());
      }
      EXPECT_THAT(given, UnorderedElementsAreArray(queues)) << "round " << round;
    }
  }
}

TEST(AllocationTest, WhoStandsWhereMayBeSaidOtherwise) {
  const std::vector<QueueRef> queues = InRooms({"a", "b"}, 2);
  const std::vector<std::string> names = {"1", "2"};
  EXPECT_FALSE(AllocateNearby({queues, names, "1"}).ok());
  MachineRooms rooms;
  rooms.of_queue = [](const QueueRef& queue) { return queue.broker == "a" ? "east" : "west"; };
  EXPECT_FALSE(AllocateNearby({queues, names, "1"}, rooms).ok());
  rooms.of_consumer = [](std::string_view name) { return name == "1" ? "west" : "east"; };
  EXPECT_THAT(*AllocateNearby({queues, names, "1"}, rooms),
              ElementsAreArray(QueuesOf("t", 2, "b")));
  // Nobody is in two rooms.
  const std::vector<QueueRef> twice = InRooms({"a", "a"}, 1);
  EXPECT_FALSE(AllocateNearby({twice, names, "1"}, rooms).ok());
}

TEST(AllocationTest, WhatIsConfiguredMustExist) {
  const std::vector<QueueRef> queues = QueuesOf("t", 4);
  const std::vector<std::string> names = Consumers(1);
  const std::vector<QueueRef> configured = {{"t", "", 3}, {"t", "", 7}, {"other", "", 1}};
  EXPECT_THAT(Numbers(AllocateAsConfigured({queues, names, names[0]}, configured)), ElementsAre(3));
}

TEST(AllocationTest, AStrangerGetsNothing) {
  const std::vector<QueueRef> queues = QueuesOf("t", 4);
  const std::vector<std::string> names = Consumers(2);
  for (const Strategy& strategy : Strategies()) {
    EXPECT_THAT(Numbers(strategy({queues, names, "somebody"})), IsEmpty());
    EXPECT_THAT(Numbers(strategy({queues, {}, "somebody"})), IsEmpty());
  }
}

TEST(AllocationTest, NobodyIsCountedTwice) {
  const std::vector<QueueRef> queues = {{"t", "", 0}, {"t", "", 0}};
  const std::vector<std::string> names = {"a", "a"};
  EXPECT_FALSE(AllocateAveragely({queues, {}, "a"}).ok());
  EXPECT_FALSE(AllocateInCircle({{}, names, "a"}).ok());
  EXPECT_FALSE(AllocateConsistently({{}, {}, "a"}, 0).ok());
}

TEST(AllocationTest, WhenABrokerGoesOnlyItsKeysMove) {
  const std::vector<std::string> all = {"a", "b", "c"};
  const std::vector<std::string> less = {"c", "a"};
  std::vector<int> keys(3);
  for (int i = 0; i < 3000; ++i) {
    const std::string key = "key-" + std::to_string(i);
    const size_t before = BrokerOfKey(all, key);
    ++keys[before];
    if (before != 1) EXPECT_EQ(less[BrokerOfKey(less, key)], all[before]);
  }
  for (const int count : keys) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace dunlin
