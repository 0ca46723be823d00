#include "operator/k8s/yaml_json.h"

#include <gmock/gmock.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::k8s {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(YamlJsonTest, Documents) {
  const auto documents =
      ParseYamlDocuments("a: 1\n---\n---\n# nothing\n---\n- b\n- {c: [d]}\n", "f");
  ASSERT_OK(documents);
  EXPECT_THAT(*documents,
              ElementsAre(Json::parse(R"({"a": 1})"), Json::parse(R"(["b", {"c": ["d"]}])")));
  EXPECT_THAT(ParseYamlDocuments("", "f"), IsOkAndHolds(IsEmpty()));
}

TEST(YamlJsonTest, Scalars) {
  const auto documents = ParseYamlDocuments(
      "a: 12\nb: -1.5\nc: true\nd: null\ne:\nf: '12'\ng: \"true\"\nh: 1Gi\ni: .inf\nj: 1e3\n"
      "k: |\n  two\n  lines\nl: ~\nm: no\nn: 9223372036854775808\no: 2026-01-02\np: ''\nq: {}\n",
      "f");
  ASSERT_OK(documents);
  EXPECT_EQ((*documents)[0], Json::parse(R"({"a": 12, "b": -1.5, "c": true, "d": null, "e": null,
      "f": "12", "g": "true", "h": "1Gi", "i": ".inf", "j": 1000.0, "k": "two\nlines\n",
      "l": null, "m": "no", "n": 9223372036854775808.0, "o": "2026-01-02", "p": "", "q": {}})"));
}

TEST(YamlJsonTest, WhatUnfoldsIsRefused) {
  EXPECT_THAT(ParseYamlDocuments("x: 1\na: &a [1, 2]\nb: *a\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "f:2: anchors are not read: write it "
                       "out"));
  EXPECT_THAT(ParseYamlDocuments("a: !!binary abcd\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f:1: tag")));
}

TEST(YamlJsonTest, MistakesHaveAPlace) {
  EXPECT_THAT(ParseYamlDocuments("a: 1\nb: 2\na: 3\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "f:3: 'a' stands here twice"));
  EXPECT_THAT(ParseYamlDocuments("a: 1\n  b: 2\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f:2:")));
  EXPECT_THAT(ParseYamlDocuments("? [a]\n: b\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a key must be a word")));
  EXPECT_THAT(ParseYamlDocuments(std::string(200, '['), "f"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dunlin::k8s
