#include "operator/k8s/yaml_json.h"

#include <fmt/format.h>

#include <charconv>
#include <string>

#include "absl/status/status.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

#include "services/base/status_macros.h"

namespace dunlin::k8s {
namespace {

constexpr int kDepthMax = 100;

bool OneOf(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

Json PlainScalar(const std::string& text) {
  if (OneOf(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (OneOf(text, {"true", "True", "TRUE"})) return true;
  if (OneOf(text, {"false", "False", "FALSE"})) return false;
  const char* const end = text.data() + text.size();
  int64_t integer = 0;
  if (const auto read = std::from_chars(text.data(), end, integer);
      read.ec == std::errc() && read.ptr == end) {
    return integer;
  }
  // Not "inf" and "nan", which JSON does not know.
  const bool numeric = text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  double real = 0;
  if (const auto read = std::from_chars(text.data(), end, real);
      numeric && read.ec == std::errc() && read.ptr == end) {
    return real;
  }
  return text;
}

// Walks the events of the parser, so that nothing is unfolded before it is refused.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view name) : name_(name) {}

  const absl::Status& Error() const { return status_; }
  std::vector<Json> TakeDocuments() { return std::move(documents_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    Put(mark, nullptr);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Fail(mark, "aliases are not read: write it out");
    Put(mark, nullptr);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    // "?": plain; "!": quoted.
    if (tag != "?" && tag != "!" && !tag.empty()) {
      Fail(mark, fmt::format("tag {} is not read", tag));
    }
    if (WantsKey()) {
      OpenKey(mark, value);
    } else {
      Put(mark, tag == "!" ? Json(value) : PlainScalar(value));
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    RefuseAnchor(mark, anchor);
    Open(mark, Json::array());
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    RefuseAnchor(mark, anchor);
    Open(mark, Json::object());
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    Json json;
    std::string key;  // of the value that comes, in a map
    bool has_key = false;
  };

  void Fail(const YAML::Mark& mark, std::string_view what) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(fmt::format("{}:{}: {}", name_, mark.line + 1, what));
  }
  void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Fail(mark, "anchors are not read: write it out");
  }

  bool WantsKey() const {
    return !levels_.empty() && levels_.back().json.is_object() && !levels_.back().has_key;
  }
  void OpenKey(const YAML::Mark& mark, const std::string& key) {
    Level& level = levels_.back();
    if (level.json.contains(key)) Fail(mark, fmt::format("'{}' stands here twice", key));
    level.key = key;
    level.has_key = true;
  }
  void Put(const YAML::Mark& mark, Json value) {
    if (levels_.empty()) {
      if (!value.is_null()) documents_.push_back(std::move(value));
    } else if (WantsKey()) {
      Fail(mark, "a key must be a word");
      OpenKey(mark, "");
    } else if (Level& level = levels_.back(); level.json.is_array()) {
      level.json.push_back(std::move(value));
    } else {
      level.json[level.key] = std::move(value);
      level.has_key = false;
    }
    mark_ = mark;
  }
  void Open(const YAML::Mark& mark, Json empty) {
    if (WantsKey()) {
      Fail(mark, "a key must be a word");
      OpenKey(mark, "");
    }
    if (levels_.size() >= kDepthMax) Fail(mark, fmt::format("deeper than {} levels", kDepthMax));
    levels_.push_back({.json = std::move(empty), .key = "", .has_key = false});
    mark_ = mark;
  }
  void Close() {
    Json json = std::move(levels_.back().json);
    levels_.pop_back();
    Put(mark_, std::move(json));
  }

  const std::string_view name_;
  absl::Status status_;
  YAML::Mark mark_;
  std::vector<Level> levels_;
  std::vector<Json> documents_;
};

}  // namespace

absl::StatusOr<std::vector<Json>> ParseYamlDocuments(std::string_view text, std::string_view name) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(name);
    while (builder.Error().ok() && parser.HandleNextDocument(builder)) {
    }
    RETURN_IF_ERROR(builder.Error());
    return builder.TakeDocuments();
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", name, error.mark.line + 1, error.msg));
  }
}

}  // namespace dunlin::k8s
