#include "operator/planner/yaml_text.h"

#include <fmt/format.h>

#include <vector>

#include "absl/status/status.h"

#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/runtime/config.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// Strings as JSON writes them are strings of YAML, too.
void Print(const Json& json, const std::string& indent, std::string& text) {
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      if (value.empty()) continue;
      text += fmt::format("{}{}:\n", indent, name);
      Print(value, indent + "  ", text);
    } else if (value.is_array()) {
      text += fmt::format("{}{}:\n", indent, name);
      for (const Json& item : value) text += fmt::format("{}- {}\n", indent, k8s::PrintJson(item));
    } else {
      text += fmt::format("{}{}: {}\n", indent, name, k8s::PrintJson(value));
    }
  }
}

// "a.b=c" for every value.
absl::Status Flatten(const Json& json, const std::string& path, std::vector<std::string>& flat) {
  for (const auto& [name, value] : json.items()) {
    const std::string at = path.empty() ? name : path + "." + name;
    if (value.is_object()) {
      RETURN_IF_ERROR(Flatten(value, at, flat));
    } else if (value.is_array()) {
      std::string list;
      for (const Json& item : value) {
        const std::string text = item.is_string() ? item.get<std::string>() : k8s::PrintJson(item);
        list += list.empty() ? text : "," + text;
      }
      flat.push_back(fmt::format("{}={}", at, list));
    } else if (value.is_null()) {
      return absl::InvalidArgumentError(
          fmt::format("config.{} has no value: give it one, or leave "
                      "it out",
                      at));
    } else {
      flat.push_back(fmt::format(
          "{}={}", at, value.is_string() ? value.get<std::string>() : k8s::PrintJson(value)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> YamlText(const Json& config, google::protobuf::Message& schema,
                                     std::string_view made_from) {
  ConfigSources sources;
  RETURN_IF_ERROR(Flatten(config, "", sources.overrides));
  if (const auto loaded = LoadConfig(sources, schema); !loaded.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("spec.config: {}", FromAbsl(loaded.status().message())));
  }
  std::string text =
      fmt::format("# Made by dunlin-operator from the {} of this name.\n", made_from);
  Print(config, "", text);
  return text;
}

}  // namespace dunlin::op
