#include "services/runtime/config.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "proto/dunlin/config/v1/rule.pb.h"
#include "services/base/status_macros.h"
#include "services/runtime/config_field.h"
#include "services/runtime/config_path.h"
#include "services/runtime/yaml.h"

namespace dunlin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::string_view kEnvironmentPrefix = "DUNLIN_";

absl::Status At(std::string_view place, const absl::Status& status) {
  return {status.code(), ToAbsl(fmt::format("{}: {}", place, FromAbsl(status.message())))};
}

// Applies one source after the other to a message.
class Loader {
 public:
  Loader(Message& config, ConfigOrigins& origins) : config_(config), origins_(origins) {}

  absl::Status ApplyFile(const std::string& path);
  absl::Status ApplyEnvironment(const std::vector<std::string>& environment);
  absl::Status ApplyOverride(std::string_view assignment);
  // Fills the defaults of lists and checks what concerns two fields.
  absl::Status Finish() { return FinishMessage(config_, ""); }

 private:
  absl::Status ApplyMap(const YamlNode& map, const std::string& prefix, Message& message);
  absl::Status ApplyEntry(const YamlEntry& entry, const std::string& path,
                          const FieldDescriptor& field, Message& message);
  // Text of the environment or the command line.
  absl::Status ApplyText(const FieldPath& path, std::string_view text, std::string_view origin);
  absl::Status FinishMessage(Message& message, const std::string& prefix);
  absl::Status CheckPair(const Message& message, const FieldDescriptor& field,
                         const std::string& prefix) const;

  std::string PlaceOf(int line, int column) const {
    return fmt::format("{}:{}:{}", file_, line, column);
  }

  Message& config_;
  ConfigOrigins& origins_;
  std::string file_;
};

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(fmt::format("{}: is a directory", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::ErrnoToStatus(errno, ToAbsl(fmt::format("cannot read {}", path)));
  }
  // One byte more than the parser takes is enough for it to refuse.
  std::string text(kMaxYamlBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return absl::DataLossError(fmt::format("{}: reading it failed", path));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

absl::Status Loader::ApplyFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(path));
  file_ = path;
  ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, path));
  if (root.kind != YamlNode::Kind::kMap) {
    return At(PlaceOf(root.line, root.column),
              absl::InvalidArgumentError("expected a map of settings"));
  }
  return ApplyMap(root, "", config_);
}

absl::Status Loader::ApplyMap(const YamlNode& map, const std::string& prefix, Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  for (const YamlEntry& entry : map.entries) {
    const FieldDescriptor* field = type.FindFieldByName(entry.key);
    if (field == nullptr) {
      return At(PlaceOf(entry.line, entry.column),
                UnknownKey(*config_.GetDescriptor(), prefix + entry.key));
    }
    RETURN_IF_ERROR(ApplyEntry(entry, prefix + entry.key, *field, message));
  }
  return absl::OkStatus();
}

absl::Status Loader::ApplyEntry(const YamlEntry& entry, const std::string& path,
                                const FieldDescriptor& field, Message& message) {
  using Kind = YamlNode::Kind;
  const YamlNode& value = entry.value;
  const auto expected = [&](std::string_view what) {
    return At(PlaceOf(entry.line, entry.column),
              absl::InvalidArgumentError(fmt::format("{}: expected {}", path, what)));
  };
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    if (value.kind != Kind::kMap && value.kind != Kind::kNull) return expected("a map of settings");
    return ApplyMap(value, path + ".", *message.GetReflection()->MutableMessage(&message, &field));
  }
  origins_.Set(path, fmt::format("{}:{}", file_, entry.line));
  if (!field.is_repeated()) {
    if (value.kind != Kind::kScalar) return expected(DescribeField(field));
    const absl::Status set = SetField(message, field, value.scalar);
    return set.ok() ? set : At(PlaceOf(value.line, value.column), set);
  }
  const bool may_be_empty = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  if (value.kind != Kind::kList || (value.items.empty() && !may_be_empty)) {
    return expected(DescribeField(field));
  }
  message.GetReflection()->ClearField(&message, &field);
  for (const YamlNode& item : value.items) {
    if (item.kind != Kind::kScalar) return expected(DescribeField(field));
    const absl::Status added = AddToField(message, field, item.scalar);
    if (!added.ok()) return At(PlaceOf(item.line, item.column), added);
  }
  return absl::OkStatus();
}

absl::Status Loader::ApplyText(const FieldPath& path, std::string_view text,
                               std::string_view origin) {
  Message& message = MutableParent(config_, path);
  const FieldDescriptor& field = *path.back();
  origins_.Set(PathName(path), std::string(origin));
  if (!field.is_repeated()) return SetField(message, field, text);
  message.GetReflection()->ClearField(&message, &field);
  if (text.empty() && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) return absl::OkStatus();
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  while (true) {
    const size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    RETURN_IF_ERROR(AddToField(message, field, item));
    if (comma == std::string_view::npos) return absl::OkStatus();
    text.remove_prefix(comma + 1);
  }
}

absl::Status Loader::ApplyEnvironment(const std::vector<std::string>& environment) {
  for (const std::string& variable : environment) {
    const std::string_view view = variable;
    const size_t equals = view.find('=');
    if (!view.starts_with(kEnvironmentPrefix) || equals == std::string_view::npos) continue;
    const std::string_view name = view.substr(0, equals);
    const std::string dotted = PathFromEnvironment(name.substr(kEnvironmentPrefix.size()));
    const FieldPath path = FindField(*config_.GetDescriptor(), dotted);
    if (path.empty()) {
      if (dotted.find('.') == std::string::npos) continue;
      return At(name, UnknownKey(*config_.GetDescriptor(), dotted));
    }
    const absl::Status set = ApplyText(path, view.substr(equals + 1), name);
    if (!set.ok()) return At(name, set);
  }
  return absl::OkStatus();
}

absl::Status Loader::ApplyOverride(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("--set {}: expected name=value, as in log.level=DEBUG", assignment));
  }
  const std::string_view name = assignment.substr(0, equals);
  const std::string place = fmt::format("--set {}", name);
  const FieldPath path = FindField(*config_.GetDescriptor(), name);
  if (path.empty()) return At(place, UnknownKey(*config_.GetDescriptor(), name));
  const absl::Status set = ApplyText(path, assignment.substr(equals + 1), "--set");
  return set.ok() ? set : At(place, set);
}

absl::Status Loader::FinishMessage(Message& message, const std::string& prefix) {
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message& child = *message.GetReflection()->MutableMessage(&message, &field);
      RETURN_IF_ERROR(FinishMessage(child, fmt::format("{}{}.", prefix, field.name())));
      continue;
    }
    FillListDefault(message, field);
    RETURN_IF_ERROR(CheckPair(message, field, prefix));
  }
  return absl::OkStatus();
}

absl::Status Loader::CheckPair(const Message& message, const FieldDescriptor& field,
                               const std::string& prefix) const {
  const config::v1::Rule& rule = field.options().GetExtension(config::v1::rule);
  const auto describe = [&](const FieldDescriptor& one) {
    const std::string path = prefix + one.name();
    return fmt::format("{} = {} ({})", path, PrintField(message, one), origins_.Of(path));
  };
  const Descriptor& type = *message.GetDescriptor();
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (rule.has_at_most_field()) {
    const FieldDescriptor& limit = *type.FindFieldByName(rule.at_most_field());
    if (reflection.GetUInt32(message, &field) > reflection.GetUInt32(message, &limit)) {
      return absl::InvalidArgumentError(
          fmt::format("{} may not exceed {}", describe(field), describe(limit)));
    }
  }
  if (rule.has_together_with_field()) {
    const FieldDescriptor& other = *type.FindFieldByName(rule.together_with_field());
    if (reflection.GetString(message, &field).empty() !=
        reflection.GetString(message, &other).empty()) {
      return absl::InvalidArgumentError(
          fmt::format("{} and {} must be set together", describe(field), describe(other)));
    }
  }
  return absl::OkStatus();
}

void PrintMessage(const Message& message, const ConfigOrigins& origins, const std::string& prefix,
                  std::string& out) {
  const Descriptor& type = *message.GetDescriptor();
  const auto depth = static_cast<size_t>(std::count(prefix.begin(), prefix.end(), '.'));
  const std::string indent(2 * depth, ' ');
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = prefix + field.name();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      out += fmt::format("{}{}:\n", indent, field.name());
      PrintMessage(message.GetReflection()->GetMessage(message, &field), origins, path + ".", out);
    } else {
      out += fmt::format("{}{}: {}  # {}\n", indent, field.name(), PrintField(message, field),
                         origins.Of(path));
    }
  }
}

}  // namespace

std::vector<std::string> ProcessEnvironment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

void ConfigOrigins::Set(std::string_view path, std::string origin) {
  origins_.insert_or_assign(path, std::move(origin));
}

std::string_view ConfigOrigins::Of(std::string_view path) const {
  const auto found = origins_.find(path);
  return found == origins_.end() ? "default" : std::string_view(found->second);
}

void FillDefaults(Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    FillSectionDefaults(message, field);
    FillDefaults(*message.GetReflection()->MutableMessage(&message, &field));
  }
}

absl::StatusOr<ConfigOrigins> LoadConfig(const ConfigSources& sources, Message& config) {
  FillDefaults(config);
  ConfigOrigins origins;
  Loader loader(config, origins);
  if (!sources.file.empty()) RETURN_IF_ERROR(loader.ApplyFile(sources.file));
  RETURN_IF_ERROR(loader.ApplyEnvironment(sources.environment));
  for (const std::string& assignment : sources.overrides) {
    RETURN_IF_ERROR(loader.ApplyOverride(assignment));
  }
  RETURN_IF_ERROR(loader.Finish());
  return origins;
}

std::string PrintConfig(const Message& config, const ConfigOrigins& origins) {
  std::string out;
  PrintMessage(config, origins, "", out);
  return out;
}

}  // namespace dunlin
