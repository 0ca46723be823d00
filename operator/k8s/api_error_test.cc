#include "operator/k8s/api_error.h"

#include <gmock/gmock.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::k8s {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status Answered(int code, std::string_view reason) {
  return StatusFromAnswer(
      code,
      PrintJson(
          {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", "what it says"}}));
}

TEST(ApiErrorTest, EachAnswerHasItsCode) {
  using Code = absl::StatusCode;
  EXPECT_THAT(Answered(400, "BadRequest"), StatusIs(Code::kInvalidArgument, "what it says"));
  EXPECT_THAT(Answered(401, "Unauthorized"), StatusIs(Code::kUnauthenticated));
  EXPECT_THAT(Answered(403, "Forbidden"), StatusIs(Code::kPermissionDenied));
  EXPECT_THAT(Answered(404, "NotFound"), StatusIs(Code::kNotFound));
  EXPECT_THAT(Answered(409, "AlreadyExists"), StatusIs(Code::kAlreadyExists));
  EXPECT_THAT(Answered(409, "Conflict"), StatusIs(Code::kAborted));
  EXPECT_THAT(Answered(410, "Expired"), StatusIs(Code::kOutOfRange));
  EXPECT_THAT(Answered(422, "Invalid"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(Answered(429, "TooManyRequests"), StatusIs(Code::kResourceExhausted));
  EXPECT_THAT(Answered(500, "InternalError"), StatusIs(Code::kUnavailable));
  EXPECT_THAT(Answered(503, "ServiceUnavailable"), StatusIs(Code::kUnavailable));
  EXPECT_THAT(Answered(504, "Timeout"), StatusIs(Code::kDeadlineExceeded));
  EXPECT_THAT(Answered(418, ""), StatusIs(Code::kUnknown));

  EXPECT_TRUE(IsConflict(Answered(409, "Conflict")));
  EXPECT_FALSE(IsConflict(Answered(409, "AlreadyExists")));
  EXPECT_FALSE(IsConflict(absl::AbortedError("ours")));
  EXPECT_TRUE(IsExpired(Answered(410, "Gone")));
  EXPECT_FALSE(IsExpired(absl::OkStatus()));
}

TEST(ApiErrorTest, CausesNameTheFields) {
  const absl::Status status = StatusFromAnswer(422, R"({"kind": "Status", "code": 422,
      "reason": "Invalid", "message": "it is invalid", "details": {"causes": [
      {"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "must be odd"},
      {"field": "spec.name", "message": "is too long"}]}})");
  const std::optional<ApiError> error = ApiErrorOf(status);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, 422);
  EXPECT_EQ(error->reason, "Invalid");
  EXPECT_EQ(error->message, "it is invalid");
  EXPECT_THAT(error->causes, ElementsAre("spec.replicas: must be odd", "spec.name: is too long"));
}

TEST(ApiErrorTest, WhateverStandsBetweenMayAnswer) {
  EXPECT_THAT(StatusFromAnswer(502, "<html>bad gateway</html>"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("502: <html>bad")));
  EXPECT_THAT(StatusFromAnswer(403, ""), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(StatusFromAnswer(500, std::string(1 << 20, '{')),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ApiErrorOf(StatusFromAnswer(502, "{}"))->code, 502);
}

TEST(ApiErrorTest, AnErrorInAStreamBringsItsOwnCode) {
  const absl::Status status = StatusFromObject(
      0, Json::parse(R"({"kind": "Status", "code": 410, "reason": "Expired", "message": "old"})"));
  EXPECT_TRUE(IsExpired(status));
}

TEST(ApiErrorTest, OtherErrorsAreNotOfTheApi) {
  EXPECT_FALSE(ApiErrorOf(absl::UnavailableError("not reached")).has_value());
  EXPECT_FALSE(ApiErrorOf(absl::OkStatus()).has_value());
}

}  // namespace
}  // namespace dunlin::k8s
