#include "operator/k8s/json.h"

#include "absl/status/status.h"

#include "services/base/strings.h"

namespace dunlin::k8s {

absl::StatusOr<Json> ParseJson(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

std::string PrintJson(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* Find(const Json& json, JsonPath path) {
  const Json* at = &json;
  for (const std::string_view name : path) {
    if (!at->is_object()) return nullptr;
    const auto field = at->find(name);
    if (field == at->end()) return nullptr;
    at = &*field;
  }
  return at;
}

std::string_view StringAt(const Json& json, JsonPath path) {
  const Json* const found = Find(json, path);
  if (found == nullptr || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

int64_t IntAt(const Json& json, JsonPath path, int64_t otherwise) {
  const Json* const found = Find(json, path);
  return found != nullptr && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

bool BoolAt(const Json& json, JsonPath path, bool otherwise) {
  const Json* const found = Find(json, path);
  return found != nullptr && found->is_boolean() ? found->get<bool>() : otherwise;
}

}  // namespace dunlin::k8s
