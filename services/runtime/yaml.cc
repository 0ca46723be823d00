#include "services/runtime/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

// Not part of yaml-cpp/yaml.h.
#include <yaml-cpp/eventhandler.h>

#include "services/base/status_macros.h"

namespace dunlin {
namespace {

// Builds the tree from the parser's events. Events, because yaml-cpp's own tree forgets where keys
// stand and resolves aliases, of which a few lines can name billions of nodes.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view name) : name_(name) {}

  const absl::Status& GetStatus() const { return status_; }
  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    Add(MakeNode(YamlNode::Kind::kNull, mark));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Fail(mark, "aliases are not supported");
    Add(MakeNode(YamlNode::Kind::kNull, mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    YamlNode node = MakeNode(YamlNode::Kind::kScalar, mark);
    node.scalar = value;
    Add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    open_.push_back({.node = MakeNode(YamlNode::Kind::kList, mark), .key = {}, .has_key = false});
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    open_.push_back({.node = MakeNode(YamlNode::Kind::kMap, mark), .key = {}, .has_key = false});
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or map whose end has not been seen; of a map also the key that waits for its value.
  struct Open {
    YamlNode node;
    YamlEntry key;
    bool has_key = false;
  };

  static YamlNode MakeNode(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void Close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      AddKey(parent, std::move(node));
    } else {
      parent.key.value = std::move(node);
      parent.node.entries.push_back(std::move(parent.key));
      parent.key = {};
      parent.has_key = false;
    }
  }

  void AddKey(Open& map, YamlNode node) {
    if (node.kind != YamlNode::Kind::kScalar) {
      FailAt(node.line, node.column, "a key must be a word");
    }
    for (const YamlEntry& entry : map.node.entries) {
      if (entry.key == node.scalar) {
        FailAt(node.line, node.column,
               fmt::format("key \"{}\" appears twice, first in line {}", node.scalar, entry.line));
      }
    }
    map.key.key = std::move(node.scalar);
    map.key.line = node.line;
    map.key.column = node.column;
    map.has_key = true;
  }

  void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Fail(mark, "anchors are not supported");
  }

  // "?" and "!" are the parser's marks for plain and quoted text.
  void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") Fail(mark, "tags are not supported");
  }

  void Fail(const YAML::Mark& mark, std::string_view what) {
    FailAt(mark.line + 1, mark.column + 1, what);
  }
  void FailAt(int line, int column, std::string_view what) {
    if (!status_.ok()) return;  // the first one is the cause
    status_ = absl::InvalidArgumentError(fmt::format("{}:{}:{}: {}", name_, line, column, what));
  }

  const std::string_view name_;
  absl::Status status_;
  YamlNode root_;
  std::vector<Open> open_;
};

absl::Status RunParser(std::string_view text, std::string_view name, TreeBuilder& builder) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return absl::OkStatus();
    TreeBuilder ignored(name);
    if (parser.HandleNextDocument(ignored)) {
      return absl::InvalidArgumentError(
          fmt::format("{}:1:1: the file holds more than one YAML document", name));
    }
    return absl::OkStatus();
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}:{}: {}", name, e.mark.line + 1, e.mark.column + 1, e.msg));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(fmt::format("{}:1:1: not YAML: {}", name, e.what()));
  }
}

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(std::string_view text, std::string_view name) {
  if (text.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1:1: larger than {} bytes", name, kMaxYamlBytes));
  }
  TreeBuilder builder(name);
  const absl::Status parsed = RunParser(text, name, builder);
  RETURN_IF_ERROR(builder.GetStatus());
  RETURN_IF_ERROR(parsed);
  YamlNode root = builder.TakeRoot();
  if (root.kind == YamlNode::Kind::kNull) root.kind = YamlNode::Kind::kMap;
  return root;
}

}  // namespace dunlin
