// Conditions: the list status.conditions in the form of metav1.Condition. Pure; any thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "operator/k8s/json.h"
#include "services/base/clock.h"

namespace dunlin::k8s {

enum class ConditionStatus { kUnknown, kFalse, kTrue };

struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason;   // CamelCase, never empty
  std::string message;  // for people
};

// Puts `condition` into `conditions` (null: a list is made) in place of the one of its type. The
// time of transition moves only when its status changes. `generation`: of the spec that was looked
// at. A message beyond what the API takes is cut.
void SetCondition(Json& conditions, const Condition& condition, int64_t generation, Timestamp now);

// Null when there is none of this type.
const Json* FindCondition(const Json& conditions, std::string_view type);
bool IsConditionTrue(const Json& conditions, std::string_view type);

}  // namespace dunlin::k8s
