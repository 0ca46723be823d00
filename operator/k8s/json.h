// Json: the form in which objects of the API are held: a tree that keeps the fields it does not
// know.
//
// nlohmann's exceptions stay inside: reading goes through Find and its kin, which answer with
// nothing where a field is missing or of another type. Pure; any thread.

#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace dunlin::k8s {

using Json = nlohmann::json;
using JsonPath = std::initializer_list<std::string_view>;

// INVALID_ARGUMENT: not JSON; says what was expected and where.
absl::StatusOr<Json> ParseJson(std::string_view text);
// On one line. Bytes that are not UTF-8 become U+FFFD.
std::string PrintJson(const Json& json);

// Null when there is no such field.
const Json* Find(const Json& json, JsonPath path);
// Empty when there is no such string. Valid as long as `json` is unchanged.
std::string_view StringAt(const Json& json, JsonPath path);
int64_t IntAt(const Json& json, JsonPath path, int64_t otherwise = 0);
bool BoolAt(const Json& json, JsonPath path, bool otherwise = false);

}  // namespace dunlin::k8s
