#include "services/runtime/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/status/status.h"

#include "services/base/testing/status_matchers.h"

namespace dunlin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = YamlNode::Kind;

void ExpectRefused(std::string_view text, std::string_view place, std::string_view reason) {
  EXPECT_THAT(ParseYaml(text, "f"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::AllOf(StartsWith(std::string("f:") + std::string(place) + ": "),
                                        HasSubstr(std::string(reason)))))
      << text;
}

TEST(YamlTest, KnowsThePlaceOfEveryNode) {
  const absl::StatusOr<YamlNode> root = ParseYaml("# a comment\na:\n  b: [1, two]\nc: ~\n", "f");
  ASSERT_OK(root);
  ASSERT_EQ(root->kind, Kind::kMap);
  ASSERT_EQ(root->entries.size(), 2u);
  EXPECT_EQ(root->entries[0].key, "a");
  EXPECT_EQ(root->entries[0].line, 2);
  EXPECT_EQ(root->entries[0].column, 1);
  const YamlEntry& b = root->entries[0].value.entries.at(0);
  EXPECT_EQ(b.line, 3);
  EXPECT_EQ(b.column, 3);
  ASSERT_EQ(b.value.kind, Kind::kList);
  ASSERT_EQ(b.value.items.size(), 2u);
  EXPECT_EQ(b.value.items[1].scalar, "two");
  EXPECT_EQ(b.value.items[1].line, 3);
  EXPECT_EQ(b.value.items[1].column, 10);
  EXPECT_EQ(root->entries[1].value.kind, Kind::kNull);
}

TEST(YamlTest, TakesAnEmptyTextAsAnEmptyMap) {
  for (const std::string_view text : {"", "\n", "# only a comment\n", "---\n"}) {
    const absl::StatusOr<YamlNode> root = ParseYaml(text, "f");
    ASSERT_OK(root) << text;
    EXPECT_EQ(root->kind, Kind::kMap);
    EXPECT_TRUE(root->entries.empty());
  }
}

TEST(YamlTest, KeepsQuotedNullAsText) {
  const absl::StatusOr<YamlNode> root = ParseYaml("a: \"null\"\n", "f");
  ASSERT_OK(root);
  EXPECT_EQ(root->entries[0].value.kind, Kind::kScalar);
}

TEST(YamlTest, RefusesWhatAConfigurationDoesNotNeed) {
  ExpectRefused("a: 1\nb: 2\na: 3\n", "3:1", "appears twice, first in line 1");
  ExpectRefused("a: &x 1\n", "1:4", "anchors");
  ExpectRefused("a: &x {}\nb: *x\n", "1:4", "anchors");
  ExpectRefused("a: !!int 1\n", "1:4", "tags");
  ExpectRefused("? [1]\n: 2\n", "1:3", "key must be a word");
  ExpectRefused("a: 1\n---\nb: 2\n", "1:1", "more than one");
  ExpectRefused("a: [1\n", "2:1", "");
  ExpectRefused("a: 1\n b: 2\n", "2:3", "");
  ExpectRefused(std::string(kMaxYamlBytes + 1, ' '), "1:1", "larger");
}

TEST(YamlTest, SurvivesDeepNesting) {
  EXPECT_FALSE(ParseYaml(std::string(100'000, '['), "f").ok());
  EXPECT_FALSE(ParseYaml(std::string(100'000, '{'), "f").ok());
}

// Random texts made of YAML's own pieces: none may crash, throw or be refused without a place.
TEST(YamlTest, SurvivesRandomText) {
  constexpr std::string_view kPieces[] = {
      "a",  "b:",  ": ", "\n", "  ", "- ", "[", "]",   "{",  "}",  ",", "\"",   "'",  "#",   "&x",
      "*x", "!!t", "? ", "|",  ">",  "~",  "%", "---", "\t", "\\", "1", "\x80", "\r", "...", "<<"};
  std::mt19937 random(4711);  // NOLINT: the same texts on every run
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const size_t length = random() % 24;
    for (size_t i = 0; i < length; ++i) text += kPieces[random() % std::size(kPieces)];
    const absl::StatusOr<YamlNode> root = ParseYaml(text, "f");
    if (!root.ok()) {
      ASSERT_THAT(std::string(root.status().message()), StartsWith("f:")) << text;
    }
  }
}

}  // namespace
}  // namespace dunlin
