#include "services/broker/codes/public_code.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/cord.h"

#include "services/base/check.h"
#include "services/base/strings.h"

namespace dunlin::broker {
namespace {

using absl::StatusCode;

constexpr char kPayloadUrl[] = "dunlin/public-code";
constexpr char kRetryUrl[] = "dunlin/retry-after-ms";
constexpr std::chrono::milliseconds kUsualRetry{100};

constexpr PublicCodeInfo kTable[] = {
    {PublicCode::kUnspecified, "CODE_UNSPECIFIED", StatusCode::kUnknown, "Never sent.",
     "A bug of the server: please report it."},
    {PublicCode::kOk, "OK", StatusCode::kOk, "Done.", ""},
    {PublicCode::kMultipleResults, "MULTIPLE_RESULTS", StatusCode::kUnknown,
     "The entries of the response have different outcomes.", "Look at the status of each entry."},
    {PublicCode::kBadRequest, "BAD_REQUEST", StatusCode::kInvalidArgument,
     "The request is wrong in a way that has no code of its own.", "Correct what the text names."},
    {PublicCode::kIllegalAccessPoint, "ILLEGAL_ACCESS_POINT", StatusCode::kInvalidArgument,
     "The address the client says it used cannot be given to clients.",
     "Configure the client with a host and a port from 1 to 65535."},
    {PublicCode::kIllegalTopic, "ILLEGAL_TOPIC", StatusCode::kInvalidArgument,
     "The name of the topic is empty, too long, reserved, or has a character that is not allowed.",
     "Use 1 to 127 characters of `a-z A-Z 0-9 _ - % |`."},
    {PublicCode::kIllegalConsumerGroup, "ILLEGAL_CONSUMER_GROUP", StatusCode::kInvalidArgument,
     "The name of the group is empty, too long, reserved, or has a character that is not allowed; "
     "or the group is of another kind.",
     "Use 1 to 120 characters of `a-z A-Z 0-9 _ - % |`."},
    {PublicCode::kIllegalMessageTag, "ILLEGAL_MESSAGE_TAG", StatusCode::kInvalidArgument,
     "The tag is blank, has a `|` or a control character.", "Choose another tag, or none."},
    {PublicCode::kIllegalMessageKey, "ILLEGAL_MESSAGE_KEY", StatusCode::kInvalidArgument,
     "A key is blank or has a control character.", "Choose other keys, or none."},
    {PublicCode::kIllegalMessageGroup, "ILLEGAL_MESSAGE_GROUP", StatusCode::kInvalidArgument,
     "The message group is blank, has a control character, or is longer than 63 bytes.",
     "Choose a shorter message group, or none."},
    {PublicCode::kIllegalMessagePropertyKey, "ILLEGAL_MESSAGE_PROPERTY_KEY",
     StatusCode::kInvalidArgument,
     "A user property has a reserved key, or a control character in its key or value.",
     "Rename the property; put binary data into the body."},
    {PublicCode::kInvalidTransactionId, "INVALID_TRANSACTION_ID", StatusCode::kNotFound,
     "The transaction id is blank, or no open transaction has it.",
     "Use the id that the send returned."},
    {PublicCode::kIllegalMessageId, "ILLEGAL_MESSAGE_ID", StatusCode::kInvalidArgument,
     "The message id is blank.", "Let the SDK choose the id."},
    {PublicCode::kIllegalFilterExpression, "ILLEGAL_FILTER_EXPRESSION",
     StatusCode::kInvalidArgument, "The filter expression cannot be understood.",
     "For tags, write `*` or `a || b`; for SQL, see docs/filters.md."},
    {PublicCode::kIllegalInvisibleTime, "ILLEGAL_INVISIBLE_TIME", StatusCode::kInvalidArgument,
     "The invisible duration is out of range.",
     "Receive with 10 seconds to 12 hours; change to 0 to 12 hours."},
    {PublicCode::kIllegalDeliveryTime, "ILLEGAL_DELIVERY_TIME", StatusCode::kInvalidArgument,
     "The message is to be delivered farther ahead than the broker allows.",
     "Choose an earlier time, or raise the limit in the broker's configuration."},
    {PublicCode::kInvalidReceiptHandle, "INVALID_RECEIPT_HANDLE", StatusCode::kFailedPrecondition,
     "The lease of the message has ended, or the handle was never given out.",
     "Wait for the next delivery; receive with a longer invisible duration."},
    {PublicCode::kMessagePropertyConflictWithType, "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE",
     StatusCode::kInvalidArgument, "The topic does not take messages of this kind.",
     "Send to a topic that does, or create the topic with this kind."},
    {PublicCode::kUnrecognizedClientType, "UNRECOGNIZED_CLIENT_TYPE", StatusCode::kInvalidArgument,
     "The client does not say what kind of client it is, or the server does not know that kind.",
     "Update the SDK or the server."},
    {PublicCode::kMessageCorrupted, "MESSAGE_CORRUPTED", StatusCode::kInvalidArgument,
     "The request has no message, or messages of different topics.", "Send one batch per topic."},
    {PublicCode::kClientIdRequired, "CLIENT_ID_REQUIRED", StatusCode::kInvalidArgument,
     "The header `x-mq-client-id` is missing.", "Use an SDK, or set the header."},
    {PublicCode::kIllegalPollingTime, "ILLEGAL_POLLING_TIME", StatusCode::kInvalidArgument,
     "The deadline of the call leaves no time to poll.", "Use a longer deadline."},
    {PublicCode::kIllegalOffset, "ILLEGAL_OFFSET", StatusCode::kOutOfRange,
     "The queue has no such offset.", "Ask for the offsets the queue has (QueryOffset)."},
    {PublicCode::kIllegalLiteTopic, "ILLEGAL_LITE_TOPIC", StatusCode::kInvalidArgument,
     "The name of the lightweight topic is blank, too long, or has a character that is not "
     "allowed.",
     "Use 1 to 64 characters of `a-z A-Z 0-9 _ - % |`."},
    {PublicCode::kInvalidClientProperties, "INVALID_CLIENT_PROPERTIES",
     StatusCode::kInvalidArgument, "What the client says about itself breaks a limit.",
     "At most 32 properties and 4096 bytes; see Settings in definition.proto."},
    {PublicCode::kUnauthorized, "UNAUTHORIZED", StatusCode::kPermissionDenied,
     "The caller is not known, its signature is wrong, or it may not do this.",
     "Check access key and secret, and the permissions of the user."},
    {PublicCode::kPaymentRequired, "PAYMENT_REQUIRED", StatusCode::kFailedPrecondition,
     "Reserved; not sent.", ""},
    {PublicCode::kForbidden, "FORBIDDEN", StatusCode::kPermissionDenied,
     "The permission of the topic forbids it, or no queue of it is readable or writable.",
     "Change the permission of the topic."},
    {PublicCode::kNotFound, "NOT_FOUND", StatusCode::kNotFound,
     "What the request names does not exist.", "Check the name."},
    {PublicCode::kMessageNotFound, "MESSAGE_NOT_FOUND", StatusCode::kNotFound,
     "The poll ended without a message: nothing is wrong.", "Poll again."},
    {PublicCode::kTopicNotFound, "TOPIC_NOT_FOUND", StatusCode::kNotFound,
     "The topic does not exist.", "Create it: `dunlinctl topic create NAME`."},
    {PublicCode::kConsumerGroupNotFound, "CONSUMER_GROUP_NOT_FOUND", StatusCode::kNotFound,
     "The consumer group does not exist.", "Create it, or let its first consumer do so."},
    {PublicCode::kOffsetNotFound, "OFFSET_NOT_FOUND", StatusCode::kNotFound,
     "The group has no offset in this queue yet.", "Consume first, or set an offset."},
    {PublicCode::kRequestTimeout, "REQUEST_TIMEOUT", StatusCode::kDeadlineExceeded,
     "Reserved; not sent.", ""},
    {PublicCode::kPayloadTooLarge, "PAYLOAD_TOO_LARGE", StatusCode::kInvalidArgument,
     "A request that carries no messages has more than 1 MiB.", "Ask for less at a time."},
    {PublicCode::kMessageBodyTooLarge, "MESSAGE_BODY_TOO_LARGE", StatusCode::kInvalidArgument,
     "The body is larger than the broker allows (4194304 bytes by default).",
     "Split or compress it, or raise the limit in the broker's configuration."},
    {PublicCode::kMessageBodyEmpty, "MESSAGE_BODY_EMPTY", StatusCode::kInvalidArgument,
     "The body has no bytes.", "Send at least one byte."},
    {PublicCode::kPreconditionFailed, "PRECONDITION_FAILED", StatusCode::kFailedPrecondition,
     "What the request asks for is not possible in the present state.",
     "Change first what the text names."},
    {PublicCode::kTooManyRequests, "TOO_MANY_REQUESTS", StatusCode::kResourceExhausted,
     "The server is at a limit and takes no more for now.",
     "Slow down and try again; SDKs do so by themselves."},
    {PublicCode::kLiteTopicQuotaExceeded, "LITE_TOPIC_QUOTA_EXCEEDED",
     StatusCode::kResourceExhausted, "The topic has as many lightweight topics as it may have.",
     "Use fewer, or raise the quota."},
    {PublicCode::kLiteSubscriptionQuotaExceeded, "LITE_SUBSCRIPTION_QUOTA_EXCEEDED",
     StatusCode::kResourceExhausted,
     "The client subscribes to as many lightweight topics as it may.",
     "Spread them over more clients, or raise the quota."},
    {PublicCode::kRequestHeaderFieldsTooLarge, "REQUEST_HEADER_FIELDS_TOO_LARGE",
     StatusCode::kInvalidArgument, "Reserved; not sent.", ""},
    {PublicCode::kMessagePropertiesTooLarge, "MESSAGE_PROPERTIES_TOO_LARGE",
     StatusCode::kInvalidArgument,
     "The message has more than 128 user properties, or more than 16384 bytes of properties, tag "
     "and keys.",
     "Put the data into the body."},
    {PublicCode::kInternalError, "INTERNAL_ERROR", StatusCode::kInternal, "Reserved; not sent.",
     ""},
    {PublicCode::kInternalServerError, "INTERNAL_SERVER_ERROR", StatusCode::kInternal,
     "The server failed.", "Try again; when it stays, read the server's log."},
    {PublicCode::kHaNotAvailable, "HA_NOT_AVAILABLE", StatusCode::kUnavailable,
     "Too few replicas are in sync for the mode of the broker group.",
     "Try again; look at the replicas."},
    {PublicCode::kNotImplemented, "NOT_IMPLEMENTED", StatusCode::kUnimplemented,
     "The server does not serve this.", "Do without it, or update the server."},
    {PublicCode::kProxyTimeout, "PROXY_TIMEOUT", StatusCode::kDeadlineExceeded,
     "The work was not done in time; it may still be done later.", "Try again."},
    {PublicCode::kMasterPersistenceTimeout, "MASTER_PERSISTENCE_TIMEOUT",
     StatusCode::kDeadlineExceeded, "The message was not on disk in time; it may be later.",
     "Try again, and expect a duplicate; look at the disk."},
    {PublicCode::kSlavePersistenceTimeout, "SLAVE_PERSISTENCE_TIMEOUT",
     StatusCode::kDeadlineExceeded, "The message was not on the replicas in time; it may be later.",
     "Try again, and expect a duplicate; look at the replicas."},
    {PublicCode::kUnsupported, "UNSUPPORTED", StatusCode::kUnimplemented, "Reserved; not sent.",
     ""},
    {PublicCode::kVersionUnsupported, "VERSION_UNSUPPORTED", StatusCode::kUnimplemented,
     "Reserved; not sent.", ""},
    {PublicCode::kVerifyFifoMessageUnsupported, "VERIFY_FIFO_MESSAGE_UNSUPPORTED",
     StatusCode::kUnimplemented,
     "Only from clients: they do not verify messages of ordered groups.", ""},
    {PublicCode::kFailedToConsumeMessage, "FAILED_TO_CONSUME_MESSAGE", StatusCode::kUnknown,
     "Only from clients: consuming the message to be verified failed.", ""},
};

bool Before(const PublicCodeInfo& line, PublicCode code) { return line.code < code; }

}  // namespace

std::span<const PublicCodeInfo> PublicCodes() { return kTable; }

const PublicCodeInfo& InfoOf(PublicCode code) {
  const auto* line = std::lower_bound(std::begin(kTable), std::end(kTable), code, Before);
  CHECK(line != std::end(kTable) && line->code == code, std::to_string(static_cast<int>(code)));
  return *line;
}

absl::Status PublicError(PublicCode code, std::string_view message) {
  CHECK(code != PublicCode::kOk);
  absl::Status status(InfoOf(code).canonical, ToAbsl(message));
  char bytes[sizeof(code)];
  std::memcpy(bytes, &code, sizeof(code));
  status.SetPayload(kPayloadUrl, absl::Cord(ToAbsl({bytes, sizeof(bytes)})));
  return status;
}

PublicCode CodeOf(const absl::Status& status) {
  if (status.ok()) return PublicCode::kOk;
  if (absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl)) {
    PublicCode code;
    const std::string bytes(*payload);
    CHECK(bytes.size() == sizeof(code));
    std::memcpy(&code, bytes.data(), sizeof(code));
    return code;
  }
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kAlreadyExists:
      return PublicCode::kBadRequest;
    case StatusCode::kNotFound:
      return PublicCode::kNotFound;
    case StatusCode::kFailedPrecondition:
      return PublicCode::kPreconditionFailed;
    case StatusCode::kOutOfRange:
      return PublicCode::kIllegalOffset;
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
      return PublicCode::kUnauthorized;
    case StatusCode::kResourceExhausted:
      return PublicCode::kTooManyRequests;
    case StatusCode::kDeadlineExceeded:
      return PublicCode::kProxyTimeout;
    case StatusCode::kUnimplemented:
      return PublicCode::kNotImplemented;
    default:
      return PublicCode::kInternalServerError;
  }
}

absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds wait) {
  CHECK(!status.ok());
  status.SetPayload(kRetryUrl, absl::Cord(std::to_string(wait.count())));
  return status;
}

std::chrono::milliseconds RetryAfterOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryUrl);
  if (!payload.has_value()) return kUsualRetry;
  return std::chrono::milliseconds(std::stoll(std::string(*payload)));
}

}  // namespace dunlin::broker
