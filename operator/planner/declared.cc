#include "operator/planner/declared.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <set>
#include <string_view>

#include "operator/k8s/object.h"
#include "operator/planner/amounts.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using google::protobuf::util::TimeUtil;
using k8s::Json;
using k8s::JsonPath;

constexpr int kDefaultQueues = 8;
constexpr int kDefaultPriorityFactor = 100;

// "Where: why".
absl::Status At(std::string_view field, const absl::Status& status) {
  if (status.ok()) return status;
  return {status.code(), fmt::format("{}: {}", field, FromAbsl(status.message()))};
}

// The enumerators of brokers are called as those of resources, with other letters.
admin::v1::MessageKind KindOf(std::string_view name) {
  if (name == "Fifo") return admin::v1::FIFO;
  if (name == "Delay") return admin::v1::DELAY;
  if (name == "Transaction") return admin::v1::TRANSACTION;
  if (name == "Priority") return admin::v1::PRIORITY;
  if (name == "Lite") return admin::v1::LITE;
  return admin::v1::NORMAL;
}

admin::v1::Permission PermissionOf(std::string_view name) {
  if (name == "None") return admin::v1::NONE;
  if (name == "Read") return admin::v1::READ;
  if (name == "Write") return admin::v1::WRITE;
  return admin::v1::READ_WRITE;
}

// spec.FIELD; what is not there is no limit.
admin::v1::Rate RateOf(const Json& resource, std::string_view field) {
  admin::v1::Rate rate;
  rate.set_messages_per_second(
      static_cast<uint64_t>(k8s::IntAt(resource, {"spec", field, "messagesPerSecond"})));
  rate.set_bytes_per_second(
      static_cast<uint64_t>(k8s::IntAt(resource, {"spec", field, "bytesPerSecond"})));
  return rate;
}

std::string NameOf(const Json& resource, std::string_view field) {
  const std::string_view given = k8s::StringAt(resource, {"spec", field});
  return given.empty() ? k8s::KeyOf(resource).name : std::string(given);
}

absl::StatusOr<int64_t> MillisAt(const Json& json, JsonPath path, std::string_view field) {
  const absl::StatusOr<std::chrono::milliseconds> millis = MillisOf(k8s::StringAt(json, path));
  RETURN_IF_ERROR(At(field, millis.status()));
  return millis->count();
}

absl::Status ReadRetention(const Json& resource, admin::v1::TopicRetention& retention) {
  retention.set_max_age_ms(0);
  if (k8s::Find(resource, {"spec", "retention", "maxAge"}) != nullptr) {
    ASSIGN_OR_RETURN(const int64_t age,
                     MillisAt(resource, {"spec", "retention", "maxAge"}, "spec.retention.maxAge"));
    retention.set_max_age_ms(age);
  }
  retention.set_max_queue_bytes(0);
  if (const Json* const most = k8s::Find(resource, {"spec", "retention", "maxQueueBytes"})) {
    const absl::StatusOr<uint64_t> bytes = BytesOf(*most);
    RETURN_IF_ERROR(At("spec.retention.maxQueueBytes", bytes.status()));
    retention.set_max_queue_bytes(*bytes);
  }
  retention.set_consumed(k8s::BoolAt(resource, {"spec", "retention", "consumed"}));
  return absl::OkStatus();
}

absl::Status ReadRetry(const Json& resource, admin::v1::Group& group) {
  if (const Json* const delays = k8s::Find(resource, {"spec", "retry", "delays"})) {
    for (const Json& delay : *delays) {
      ASSIGN_OR_RETURN(const int64_t millis, MillisAt(delay, {}, "spec.retry.delays"));
      group.add_retry_delays_ms(millis);
    }
  }
  const Json* const exponential = k8s::Find(resource, {"spec", "retry", "exponential"});
  if (exponential == nullptr) return absl::OkStatus();
  admin::v1::ExponentialBackoff& backoff = *group.mutable_exponential();
  ASSIGN_OR_RETURN(const int64_t initial,
                   MillisAt(*exponential, {"initial"}, "spec.retry.exponential.initial"));
  ASSIGN_OR_RETURN(const int64_t most,
                   MillisAt(*exponential, {"max"}, "spec.retry.exponential.max"));
  backoff.set_initial_ms(initial);
  backoff.set_max_ms(most);
  const Json* const multiplier = k8s::Find(*exponential, {"multiplier"});
  constexpr double kDefaultMultiplier = 2;
  backoff.set_multiplier(multiplier != nullptr && multiplier->is_number()
                             ? multiplier->get<double>()
                             : kDefaultMultiplier);
  return absl::OkStatus();
}

absl::Status ReadStart(const Json& resource, admin::v1::GroupStart& start) {
  const std::string_view from = k8s::StringAt(resource, {"spec", "start", "from"});
  if (from != "Last" && from != "Time") {
    start.set_first(true);
    return absl::OkStatus();
  }
  const absl::StatusOr<Timestamp> moment =
      MomentOf(from == "Last" ? k8s::StringAt(resource, {"metadata", "creationTimestamp"})
                              : k8s::StringAt(resource, {"spec", "start", "time"}));
  RETURN_IF_ERROR(At("spec.start.time", moment.status()));
  *start.mutable_time() = TimeUtil::MillisecondsToTimestamp(ToUnixMillis(*moment));
  return absl::OkStatus();
}

// Collects what differs.
class Comparison {
 public:
  template <typename Value>
  void Of(std::string_view field, const Value& there, const Value& wanted) {
    if (there != wanted) {
      differences_.push_back(fmt::format("{}: {}, to be {}", field, there, wanted));
    }
  }
  void OfRates(std::string_view field, const admin::v1::Rate& there,
               const admin::v1::Rate& wanted) {
    Of(fmt::format("{}.messagesPerSecond", field), there.messages_per_second(),
       wanted.messages_per_second());
    Of(fmt::format("{}.bytesPerSecond", field), there.bytes_per_second(),
       wanted.bytes_per_second());
  }
  // Not the operator's when it is not wanted.
  void OfDescriptions(const std::string& there, const std::string& wanted) {
    if (!wanted.empty()) Of("description", there, wanted);
  }
  std::vector<std::string> Take() { return std::move(differences_); }

 private:
  std::vector<std::string> differences_;
};

// In one order, whatever order people wrote.
std::string KindsText(const admin::v1::Topic& topic) {
  const std::set<int> kinds(topic.kinds().begin(), topic.kinds().end());
  std::string text;
  for (const int kind : kinds) {
    text += (text.empty() ? "" : " ") +
            admin::v1::MessageKind_Name(static_cast<admin::v1::MessageKind>(kind));
  }
  return text;
}

// Without one it stays as it is at the broker.
template <typename Proto>
void Describe(const Json& resource, Proto& proto) {
  std::string description(k8s::StringAt(resource, {"spec", "description"}));
  if (!description.empty()) proto.set_description(std::move(description));
}

bool IsLite(const admin::v1::Topic& topic) {
  return topic.kinds_size() == 1 && topic.kinds(0) == admin::v1::LITE;
}

std::string RetryText(const admin::v1::Group& group) {
  if (group.retry_delays_ms_size() > 0) {
    return fmt::format("{} ms", fmt::join(group.retry_delays_ms(), " "));
  }
  return fmt::format("{} ms to {} ms times {}", group.exponential().initial_ms(),
                     group.exponential().max_ms(), group.exponential().multiplier());
}

// Brokers keep milliseconds, and nothing is older than 1970.
std::string StartText(const admin::v1::GroupStart& start) {
  const int64_t millis =
      start.has_time() ? std::max<int64_t>(0, TimeUtil::TimestampToMilliseconds(start.time())) : 0;
  return millis == 0 ? "First" : TimeUtil::ToString(TimeUtil::MillisecondsToTimestamp(millis));
}

}  // namespace

absl::StatusOr<admin::v1::Topic> TopicOf(const Json& resource) {
  admin::v1::Topic topic;
  topic.set_namespace_(std::string(k8s::StringAt(resource, {"spec", "namespace"})));
  topic.set_name(NameOf(resource, "topicName"));
  if (const Json* const kinds = k8s::Find(resource, {"spec", "kinds"})) {
    for (const Json& kind : *kinds) topic.add_kinds(KindOf(k8s::StringAt(kind, {})));
  }
  if (topic.kinds().empty()) topic.add_kinds(admin::v1::NORMAL);
  // Lightweight topics are the queues of their topic.
  if (IsLite(topic)) {
    topic.set_lite_expiration_minutes(
        static_cast<uint32_t>(k8s::IntAt(resource, {"spec", "liteExpirationMinutes"})));
  } else {
    topic.set_queues(
        static_cast<uint32_t>(k8s::IntAt(resource, {"spec", "queues"}, kDefaultQueues)));
  }
  topic.set_permission(PermissionOf(k8s::StringAt(resource, {"spec", "permission"})));
  Describe(resource, topic);
  *topic.mutable_send_rate() = RateOf(resource, "sendRate");
  RETURN_IF_ERROR(ReadRetention(resource, *topic.mutable_retention()));
  topic.set_compacted(k8s::BoolAt(resource, {"spec", "compacted"}));
  return topic;
}

bool BeginsWithLast(const Json& consumer_group) {
  return k8s::StringAt(consumer_group, {"spec", "start", "from"}) == "Last";
}

absl::StatusOr<admin::v1::Group> ConsumerGroupOf(const Json& resource) {
  admin::v1::Group group;
  group.set_namespace_(std::string(k8s::StringAt(resource, {"spec", "namespace"})));
  group.set_name(NameOf(resource, "groupName"));
  group.set_max_attempts(static_cast<uint32_t>(k8s::IntAt(resource, {"spec", "maxAttempts"})));
  RETURN_IF_ERROR(ReadRetry(resource, group));
  Describe(resource, group);
  group.set_delivery_order(k8s::StringAt(resource, {"spec", "deliveryOrder"}) == "InOrder"
                               ? admin::v1::IN_ORDER
                               : admin::v1::CONCURRENT);
  group.set_priority_factor(static_cast<uint32_t>(
      k8s::IntAt(resource, {"spec", "priorityFactor"}, kDefaultPriorityFactor)));
  RETURN_IF_ERROR(ReadStart(resource, *group.mutable_start()));
  group.set_paused(k8s::BoolAt(resource, {"spec", "paused"}));
  *group.mutable_rate() = RateOf(resource, "rate");
  group.set_max_in_flight(static_cast<uint32_t>(k8s::IntAt(resource, {"spec", "maxInFlight"})));
  if (k8s::Find(resource, {"spec", "lite"}) != nullptr) {
    group.set_lite_bind_topic(std::string(k8s::StringAt(resource, {"spec", "lite", "bindTopic"})));
    group.set_lite_model(k8s::StringAt(resource, {"spec", "lite", "model"}) == "Exclusive"
                             ? admin::v1::LITE_EXCLUSIVE
                             : admin::v1::LITE_SHARED);
  }
  return group;
}

std::vector<std::string> DifferencesOf(const admin::v1::Topic& wanted,
                                       const admin::v1::Topic& there) {
  Comparison compare;
  compare.Of("kinds", KindsText(there), KindsText(wanted));
  if (IsLite(wanted)) {
    compare.Of("liteExpirationMinutes", there.lite_expiration_minutes(),
               wanted.lite_expiration_minutes());
  } else {
    compare.Of("queues", there.queues(), wanted.queues());
  }
  compare.Of("permission", admin::v1::Permission_Name(there.permission()),
             admin::v1::Permission_Name(wanted.permission()));
  compare.OfDescriptions(there.description(), wanted.description());
  compare.OfRates("sendRate", there.send_rate(), wanted.send_rate());
  compare.Of("retention.maxAge in ms", there.retention().max_age_ms(),
             wanted.retention().max_age_ms());
  compare.Of("retention.maxQueueBytes", there.retention().max_queue_bytes(),
             wanted.retention().max_queue_bytes());
  compare.Of("retention.consumed", there.retention().consumed(), wanted.retention().consumed());
  compare.Of("compacted", there.compacted(), wanted.compacted());
  return compare.Take();
}

std::vector<std::string> DifferencesOf(const admin::v1::Group& wanted,
                                       const admin::v1::Group& there) {
  Comparison compare;
  if (wanted.max_attempts() != 0) {
    compare.Of("maxAttempts", there.max_attempts(), wanted.max_attempts());
  }
  if (wanted.has_exponential() || wanted.retry_delays_ms_size() > 0) {
    compare.Of("retry", RetryText(there), RetryText(wanted));
  }
  compare.OfDescriptions(there.description(), wanted.description());
  compare.Of("deliveryOrder", admin::v1::DeliveryOrder_Name(there.delivery_order()),
             admin::v1::DeliveryOrder_Name(wanted.delivery_order()));
  compare.Of("priorityFactor", there.priority_factor(), wanted.priority_factor());
  compare.Of("start", StartText(there.start()), StartText(wanted.start()));
  compare.Of("paused", there.paused(), wanted.paused());
  compare.OfRates("rate", there.rate(), wanted.rate());
  compare.Of("maxInFlight", there.max_in_flight(), wanted.max_in_flight());
  compare.Of("lite.bindTopic", there.lite_bind_topic(), wanted.lite_bind_topic());
  compare.Of("lite.model", admin::v1::LiteModel_Name(there.lite_model()),
             admin::v1::LiteModel_Name(wanted.lite_model()));
  return compare.Take();
}

}  // namespace dunlin::op
