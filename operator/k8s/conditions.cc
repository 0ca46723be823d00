#include "operator/k8s/conditions.h"

#include "operator/k8s/rfc3339.h"
#include "services/base/check.h"

namespace dunlin::k8s {
namespace {

constexpr size_t kMessageBytesMax = 32768;

std::string_view NameOf(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::kTrue:
      return "True";
    case ConditionStatus::kFalse:
      return "False";
    case ConditionStatus::kUnknown:
      break;
  }
  return "Unknown";
}

// Not within a character of UTF-8.
std::string_view CutTo(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

void SetCondition(Json& conditions, const Condition& condition, int64_t generation, Timestamp now) {
  CHECK(!condition.type.empty() && !condition.reason.empty(), condition.type);
  if (!conditions.is_array()) conditions = Json::array();
  const std::string_view status = NameOf(condition.status);
  Json made = {
      {"type", condition.type},           {"status", status},
      {"observedGeneration", generation}, {"lastTransitionTime", FormatTime(now)},
      {"reason", condition.reason},       {"message", CutTo(condition.message, kMessageBytesMax)}};
  for (Json& there : conditions) {
    if (StringAt(there, {"type"}) != condition.type) continue;
    const std::string_view since = StringAt(there, {"lastTransitionTime"});
    if (StringAt(there, {"status"}) == status && !since.empty()) made["lastTransitionTime"] = since;
    there = std::move(made);
    return;
  }
  conditions.push_back(std::move(made));
}

const Json* FindCondition(const Json& conditions, std::string_view type) {
  if (!conditions.is_array()) return nullptr;
  for (const Json& condition : conditions) {
    if (StringAt(condition, {"type"}) == type) return &condition;
  }
  return nullptr;
}

bool IsConditionTrue(const Json& conditions, std::string_view type) {
  const Json* const condition = FindCondition(conditions, type);
  return condition != nullptr && StringAt(*condition, {"status"}) == "True";
}

}  // namespace dunlin::k8s
