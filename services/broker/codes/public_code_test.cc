#include "services/broker/codes/public_code.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/codes/errors_reference.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

TEST(PublicCodeTest, TableAndContractAgree) {
  const auto* contract = v2::Code_descriptor();
  ASSERT_EQ(static_cast<size_t>(contract->value_count()), PublicCodes().size());
  for (const PublicCodeInfo& info : PublicCodes()) {
    const auto* value = contract->FindValueByNumber(static_cast<int>(info.code));
    ASSERT_NE(value, nullptr) << info.name;
    EXPECT_EQ(value->name(), info.name);
    EXPECT_EQ(&InfoOf(info.code), &info) << "the table is out of order at " << info.name;
  }
}

// MESSAGE_BODY_EMPTY is kMessageBodyEmpty: samples by name, since enumerators have none.
TEST(PublicCodeTest, EnumeratorsAreNamedAsInTheContract) {
  EXPECT_EQ(static_cast<int>(PublicCode::kMessageBodyEmpty), v2::MESSAGE_BODY_EMPTY);
  EXPECT_EQ(static_cast<int>(PublicCode::kIllegalMessagePropertyKey),
            v2::ILLEGAL_MESSAGE_PROPERTY_KEY);
  EXPECT_EQ(static_cast<int>(PublicCode::kTooManyRequests), v2::TOO_MANY_REQUESTS);
  for (const PublicCodeInfo& info : PublicCodes()) EXPECT_FALSE(info.meaning.empty()) << info.name;
}

TEST(PublicCodeTest, ErrorCarriesItsCodeAndMessage) {
  for (const PublicCodeInfo& info : PublicCodes()) {
    if (info.code == PublicCode::kOk) continue;
    const absl::Status status = PublicError(info.code, "why");
    EXPECT_EQ(CodeOf(status), info.code);
    EXPECT_EQ(status.code(), info.canonical);
    EXPECT_EQ(status.message(), "why");
  }
}

TEST(PublicCodeTest, CodeSurvivesACopy) {
  const absl::Status copy = PublicError(PublicCode::kTopicNotFound, "no topic");
  const absl::Status other = copy;
  EXPECT_EQ(CodeOf(other), PublicCode::kTopicNotFound);
}

TEST(PublicCodeTest, StatusMaySayWhenToTryAgain) {
  using std::chrono::milliseconds;
  const absl::Status busy = PublicError(PublicCode::kTooManyRequests, "busy");
  EXPECT_EQ(RetryAfterOf(busy), milliseconds(100));
  const absl::Status hinted = WithRetryAfter(busy, milliseconds(2500));
  EXPECT_EQ(RetryAfterOf(hinted), milliseconds(2500));
  EXPECT_EQ(CodeOf(hinted), PublicCode::kTooManyRequests);
  EXPECT_EQ(hinted.message(), "busy");
}

TEST(PublicCodeTest, StatusWithoutACodeGetsTheNearest) {
  EXPECT_EQ(CodeOf(absl::OkStatus()), PublicCode::kOk);
  EXPECT_EQ(CodeOf(absl::ResourceExhaustedError("")), PublicCode::kTooManyRequests);
  EXPECT_EQ(CodeOf(absl::InvalidArgumentError("")), PublicCode::kBadRequest);
  EXPECT_EQ(CodeOf(absl::UnimplementedError("")), PublicCode::kNotImplemented);
  EXPECT_EQ(CodeOf(absl::DeadlineExceededError("")), PublicCode::kProxyTimeout);
  EXPECT_EQ(CodeOf(absl::UnauthenticatedError("")), PublicCode::kUnauthorized);
  EXPECT_EQ(CodeOf(absl::NotFoundError("")), PublicCode::kNotFound);
  EXPECT_EQ(CodeOf(absl::OutOfRangeError("")), PublicCode::kIllegalOffset);
  EXPECT_EQ(CodeOf(absl::FailedPreconditionError("")), PublicCode::kPreconditionFailed);
  EXPECT_EQ(CodeOf(absl::UnavailableError("")), PublicCode::kInternalServerError);
  EXPECT_EQ(CodeOf(absl::DataLossError("")), PublicCode::kInternalServerError);
  EXPECT_EQ(CodeOf(absl::InternalError("")), PublicCode::kInternalServerError);
}

TEST(ErrorsReferenceTest, PageIsFresh) {
  std::ifstream file("docs/reference/errors.md");
  ASSERT_TRUE(file.is_open());
  std::stringstream page;
  page << file.rdbuf();
  EXPECT_TRUE(page.str() == ErrorsReference())
      << "stale: bazel run //services/broker/codes:print_errors > docs/reference/errors.md";
}

}  // namespace
}  // namespace dunlin::broker
