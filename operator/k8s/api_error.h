// ApiError: what the API server says when it refuses, as an absl::Status that keeps all of it.
//
// | answer | status |
// |---|---|
// | 400, 422 Invalid | INVALID_ARGUMENT |
// | 401 | UNAUTHENTICATED |
// | 403 | PERMISSION_DENIED |
// | 404 | NOT_FOUND |
// | 409 AlreadyExists | ALREADY_EXISTS |
// | 409 Conflict | ABORTED: read again, decide again |
// | 410 Expired | OUT_OF_RANGE: list again |
// | 429 | RESOURCE_EXHAUSTED |
// | 504 | DEADLINE_EXCEEDED |
// | 500, 502, 503 and other 5xx | UNAVAILABLE |
//
// Pure; any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "operator/k8s/json.h"

namespace dunlin::k8s {

struct ApiError {
  int code = 0;                     // of HTTP
  std::string reason;               // "Conflict"; empty when the answer was no Status object
  std::string message;              // for people
  std::vector<std::string> causes;  // "spec.replicas: must be at least 1"
};

// From a Status object: the body of an answer, or the object of an ERROR event in a watch.
absl::Status StatusFromObject(int code, const Json& status);
// From an answer that is not 2xx; whatever stands between us and the API server may have written
// it, so it need not be JSON.
absl::Status StatusFromAnswer(int code, std::string_view body);

// nullopt when `status` did not come from the API server: it was not reached, or did not answer.
std::optional<ApiError> ApiErrorOf(const absl::Status& status);

bool IsConflict(const absl::Status& status);
bool IsExpired(const absl::Status& status);

}  // namespace dunlin::k8s
