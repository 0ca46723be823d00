#include "services/broker/admission/client_properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "services/base/status_macros.h"
#include "services/broker/admission/text.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

constexpr size_t kMaxCount = 32;
constexpr size_t kMaxKey = 64;
constexpr size_t kMaxValue = 256;
constexpr size_t kMaxTotal = 4096;
constexpr std::string_view kReservedPrefix = "rocketmq.";

constexpr bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool MayStandInKey(char c) {
  return IsLetter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

absl::Status Invalid(std::string_view why) {
  return PublicError(PublicCode::kInvalidClientProperties, why);
}

absl::Status CheckOne(const ClientProperty& property) {
  const auto& [key, value] = property;
  if (key.empty() || key.size() > kMaxKey || !IsLetter(key.front()) ||
      !std::all_of(key.begin(), key.end(), MayStandInKey)) {
    return Invalid(
        fmt::format("the key {} of a client property is not 1 to {} characters of "
                    "a-z A-Z 0-9 _ . - that begin with a letter",
                    Quoted(key), kMaxKey));
  }
  if (key.starts_with(kReservedPrefix)) {
    return Invalid(
        fmt::format("the key {} of a client property is reserved; choose one that does "
                    "not begin with {}",
                    Quoted(key), kReservedPrefix));
  }
  if (value.size() > kMaxValue) {
    return Invalid(
        fmt::format("the value of client property {} has {} bytes; at most {} are "
                    "allowed",
                    Quoted(key), value.size(), kMaxValue));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckClientProperties(const std::vector<ClientProperty>& properties) {
  if (properties.size() > kMaxCount) {
    return Invalid(fmt::format("the settings have {} client properties; at most {} are allowed",
                               properties.size(), kMaxCount));
  }
  size_t total = 0;
  for (const ClientProperty& property : properties) {
    RETURN_IF_ERROR(CheckOne(property));
    total += property.first.size() + property.second.size();
  }
  if (total > kMaxTotal) {
    return Invalid(
        fmt::format("the client properties have {} bytes together; at most {} are "
                    "allowed",
                    total, kMaxTotal));
  }
  return absl::OkStatus();
}

}  // namespace dunlin::broker
