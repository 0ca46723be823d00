// PublicCode: the outcomes of the public API, attached to a status where an error is born.
//
// Rooms return absl::Status as everywhere; one that will reach a client of apache.rocketmq.v2 is
// made with PublicError, and broker/rpc turns it into the answer's Status with CodeOf. Pure,
// thread-safe. docs/reference/errors.md is printed from the same table.

#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace dunlin::broker {

// Numbers of apache.rocketmq.v2.Code; a test compares the two.
enum class PublicCode : int32_t {
  kUnspecified = 0,
  kOk = 20000,
  kMultipleResults = 30000,
  kBadRequest = 40000,
  kIllegalAccessPoint = 40001,
  kIllegalTopic = 40002,
  kIllegalConsumerGroup = 40003,
  kIllegalMessageTag = 40004,
  kIllegalMessageKey = 40005,
  kIllegalMessageGroup = 40006,
  kIllegalMessagePropertyKey = 40007,
  kInvalidTransactionId = 40008,
  kIllegalMessageId = 40009,
  kIllegalFilterExpression = 40010,
  kIllegalInvisibleTime = 40011,
  kIllegalDeliveryTime = 40012,
  kInvalidReceiptHandle = 40013,
  kMessagePropertyConflictWithType = 40014,
  kUnrecognizedClientType = 40015,
  kMessageCorrupted = 40016,
  kClientIdRequired = 40017,
  kIllegalPollingTime = 40018,
  kIllegalOffset = 40019,
  kIllegalLiteTopic = 40020,
  kInvalidClientProperties = 40021,
  kUnauthorized = 40100,
  kPaymentRequired = 40200,
  kForbidden = 40300,
  kNotFound = 40400,
  kMessageNotFound = 40401,
  kTopicNotFound = 40402,
  kConsumerGroupNotFound = 40403,
  kOffsetNotFound = 40404,
  kRequestTimeout = 40800,
  kPayloadTooLarge = 41300,
  kMessageBodyTooLarge = 41301,
  kMessageBodyEmpty = 41302,
  kPreconditionFailed = 42800,
  kTooManyRequests = 42900,
  kLiteTopicQuotaExceeded = 42901,
  kLiteSubscriptionQuotaExceeded = 42902,
  kRequestHeaderFieldsTooLarge = 43100,
  kMessagePropertiesTooLarge = 43101,
  kInternalError = 50000,
  kInternalServerError = 50001,
  kHaNotAvailable = 50002,
  kNotImplemented = 50100,
  kProxyTimeout = 50400,
  kMasterPersistenceTimeout = 50401,
  kSlavePersistenceTimeout = 50402,
  kUnsupported = 50500,
  kVersionUnsupported = 50501,
  kVerifyFifoMessageUnsupported = 50502,
  kFailedToConsumeMessage = 60000,
};

// One line of the table.
struct PublicCodeInfo {
  PublicCode code;
  std::string_view name;       // as in the .proto
  absl::StatusCode canonical;  // what the caller should do, in the words of absl::Status
  std::string_view meaning;    // for people
  std::string_view way_out;    // for people
};

// Every code, ascending.
std::span<const PublicCodeInfo> PublicCodes();

// The line of `code`. REQUIRES: `code` is an enumerator.
const PublicCodeInfo& InfoOf(PublicCode code);

// A status that carries `code`; its canonical code is that of the table. `message` says what is
// wrong, the value, the limit, the way out. REQUIRES: `code` is an enumerator other than kOk.
absl::Status PublicError(PublicCode code, std::string_view message);

// The code a status carries. For one that carries none, what fits its canonical code:
// RESOURCE_EXHAUSTED is kTooManyRequests, INVALID_ARGUMENT is kBadRequest, and what only the server
// can mend is kInternalServerError. kOk for OK.
PublicCode CodeOf(const absl::Status& status);

// `status`, an error, with the time after which the same may be tried again.
absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds wait);

// That time; what is usual for a status that says nothing about it. Only of use with
// kTooManyRequests.
std::chrono::milliseconds RetryAfterOf(const absl::Status& status);

}  // namespace dunlin::broker
