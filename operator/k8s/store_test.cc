#include "operator/k8s/store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

namespace dunlin::k8s {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Json MakePod(const std::string& name, int version, const std::string& node = "n1",
             const std::string& uid = "") {
  return {{"metadata",
           {{"namespace", "space"},
            {"name", name},
            {"uid", uid.empty() ? "uid-" + name : uid},
            {"resourceVersion", std::to_string(version)},
            {"managedFields", {{{"manager", "somebody"}}}}}},
          {"spec", {{"nodeName", node}}}};
}

class StoreTest : public ::testing::TestWithParam<bool> {
 protected:
  StoreTest() {
    if (GetParam()) store_.KeepPacked();
    store_.AddIndex("node", [](const Json& object) -> std::vector<std::string> {
      const std::string_view node = StringAt(object, {"spec", "nodeName"});
      if (node.empty()) return {};
      return {std::string(node)};
    });
    store_.AddHandler([this](const Store::Change& change) {
      const Object& any = change.after != nullptr ? change.after : change.before;
      changes_.push_back(fmt::format(
          "{} {}", change.before == nullptr ? "+" : (change.after == nullptr ? "-" : "~"),
          KeyOf(*any).name));
      // Readers see what they are told of.
      if (change.after != nullptr && change.before != nullptr) {
        EXPECT_EQ(*store_.Get(KeyOf(*any)), *change.after);
      }
    });
  }
  std::vector<std::string> OnNode(const std::string& node) const {
    std::vector<std::string> names;
    for (const Object& object : store_.ByIndex("node", node)) names.push_back(KeyOf(*object).name);
    return names;
  }
  std::vector<std::string> TakeChanges() { return std::exchange(changes_, {}); }

  Store store_;
  std::vector<std::string> changes_;
};

TEST_P(StoreTest, FirstListFillsIt) {
  EXPECT_FALSE(store_.IsSynced());
  store_.Replace({MakePod("b", 2), MakePod("a", 1)});
  EXPECT_TRUE(store_.IsSynced());
  EXPECT_THAT(TakeChanges(), ElementsAre("+ a", "+ b"));
  EXPECT_EQ(store_.List().size(), 2U);
  EXPECT_EQ(store_.Get({"space", "c"}), nullptr);
  EXPECT_FALSE((*store_.Get({"space", "a"}))["metadata"].contains("managedFields"));
}

TEST_P(StoreTest, LaterListsTellTheDifference) {
  store_.Replace({MakePod("a", 1), MakePod("b", 2), MakePod("c", 3)});
  TakeChanges();
  store_.Replace({MakePod("a", 1), MakePod("b", 7), MakePod("d", 8)});
  EXPECT_THAT(TakeChanges(), ElementsAre("- c", "~ b", "+ d"));
}

TEST_P(StoreTest, MadeAnewIsDeletedAndAdded) {
  store_.Replace({MakePod("a", 1)});
  TakeChanges();
  store_.Put(MakePod("a", 5, "n1", "another"));
  EXPECT_THAT(TakeChanges(), ElementsAre("- a", "+ a"));
  EXPECT_THAT(OnNode("n1"), ElementsAre("a"));
}

TEST_P(StoreTest, TheSameAgainIsNoChange) {
  store_.Put(MakePod("a", 1));
  store_.Put(MakePod("a", 1));
  store_.Remove({"space", "b"});
  EXPECT_THAT(TakeChanges(), ElementsAre("+ a"));
}

TEST_P(StoreTest, WhoeverHoldsAnObjectKeepsItAsItWas) {
  store_.Put(MakePod("a", 1, "n1"));
  const Object held = store_.Get({"space", "a"});
  store_.Put(MakePod("a", 2, "n2"));
  store_.Remove({"space", "a"});
  EXPECT_EQ((*held)["spec"]["nodeName"], "n1");
}

TEST_P(StoreTest, IndexFollowsEveryChange) {
  store_.Replace({MakePod("a", 1, "n1"), MakePod("b", 2, "n2"), MakePod("c", 3, "n1")});
  EXPECT_THAT(OnNode("n1"), ElementsAre("a", "c"));
  store_.Put(MakePod("a", 4, "n2"));
  EXPECT_THAT(OnNode("n1"), ElementsAre("c"));
  EXPECT_THAT(OnNode("n2"), ElementsAre("a", "b"));
  store_.Remove({"space", "c"});
  EXPECT_THAT(OnNode("n1"), IsEmpty());
  store_.Put(MakePod("b", 5, ""));
  EXPECT_THAT(OnNode("n2"), ElementsAre("a"));
}

// Against what is found by looking at every object.
TEST_P(StoreTest, IndexEqualsItsDumbTwin) {
  std::mt19937 random(7);
  for (int step = 1; step < 3000; ++step) {
    const std::string name = fmt::format("p{}", random() % 20);
    if (random() % 4 == 0) {
      store_.Remove({"space", name});
    } else {
      store_.Put(
          MakePod(name, step, fmt::format("n{}", random() % 4), fmt::format("u{}", random() % 3)));
    }
    for (int node = 0; node < 4; ++node) {
      std::vector<std::string> expected;
      for (const Object& object : store_.List()) {
        if ((*object)["spec"]["nodeName"] == fmt::format("n{}", node)) {
          expected.push_back(KeyOf(*object).name);
        }
      }
      ASSERT_EQ(OnNode(fmt::format("n{}", node)), expected);
    }
  }
}

TEST_P(StoreTest, KeepsEveryValue) {
  Json pod = MakePod("a", 1);
  pod["spec"]["values"] = {1,       -1,   0.1, 1e300,      INT64_MIN,     UINT64_MAX,
                           nullptr, true, "",  "\u00e9\n", Json::array(), Json::object()};
  store_.Put(pod);
  pod["metadata"].erase("managedFields");
  EXPECT_EQ(*store_.Get({"space", "a"}), pod);
  EXPECT_EQ(PrintJson(*store_.Get({"space", "a"})), PrintJson(pod));
}

INSTANTIATE_TEST_SUITE_P(Keeping, StoreTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Packed" : "Whole"; });

}  // namespace
}  // namespace dunlin::k8s
