#include "operator/k8s/api_error.h"

#include <fmt/format.h>

#include <utility>

#include "absl/strings/cord.h"

#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

// Under which the Status object stands in an absl::Status.
constexpr std::string_view kPayload = "k8s.io/Status";
// What is quoted of an answer that is not a Status object.
constexpr size_t kQuotedBytes = 200;

absl::StatusCode CodeOf(int code, std::string_view reason) {
  switch (code) {
    case 400:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                       : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return code >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnknown;
  }
}

}  // namespace

absl::Status StatusFromObject(int code, const Json& status) {
  code = static_cast<int>(IntAt(status, {"code"}, code));
  const std::string_view reason = StringAt(status, {"reason"});
  const std::string_view message = StringAt(status, {"message"});
  std::string text =
      message.empty() ? fmt::format("the API server answered {}", code) : std::string(message);
  absl::Status result(CodeOf(code, reason), ToAbsl(text));
  Json kept = status.is_object() ? status : Json::object();
  kept["code"] = code;
  result.SetPayload(ToAbsl(kPayload), absl::Cord(PrintJson(kept)));
  return result;
}

absl::Status StatusFromAnswer(int code, std::string_view body) {
  const absl::StatusOr<Json> json = ParseJson(body);
  if (json.ok() && StringAt(*json, {"kind"}) == "Status") return StatusFromObject(code, *json);
  return StatusFromObject(code, {{"message", fmt::format("the API server answered {}: {}", code,
                                                         body.substr(0, kQuotedBytes))}});
}

std::optional<ApiError> ApiErrorOf(const absl::Status& status) {
  const auto payload = status.GetPayload(ToAbsl(kPayload));
  if (!payload.has_value()) return std::nullopt;
  const absl::StatusOr<Json> json = ParseJson(std::string(*payload));
  if (!json.ok()) return std::nullopt;
  ApiError error{.code = static_cast<int>(IntAt(*json, {"code"})),
                 .reason = std::string(StringAt(*json, {"reason"})),
                 .message = std::string(FromAbsl(status.message())),
                 .causes = {}};
  const Json* const causes = Find(*json, {"details", "causes"});
  if (causes != nullptr && causes->is_array()) {
    for (const Json& cause : *causes) {
      error.causes.push_back(
          fmt::format("{}: {}", StringAt(cause, {"field"}), StringAt(cause, {"message"})));
    }
  }
  return error;
}

bool IsConflict(const absl::Status& status) {
  const std::optional<ApiError> error = ApiErrorOf(status);
  return error.has_value() && error->code == 409 && error->reason != "AlreadyExists";
}

bool IsExpired(const absl::Status& status) {
  const std::optional<ApiError> error = ApiErrorOf(status);
  return error.has_value() && error->code == 410;
}

}  // namespace dunlin::k8s
