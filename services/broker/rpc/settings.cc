#include "services/broker/rpc/settings.h"

#include <chrono>
#include <string>

#include "services/broker/admission/names.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr int kProducerAttempts = 3;

void SetDuration(std::chrono::milliseconds from, google::protobuf::Duration* to) {
  to->set_seconds(from.count() / 1000);
  to->set_nanos(static_cast<int32_t>(from.count() % 1000) * 1'000'000);
}

// Some SDKs drop fractions of a second in consumer backoffs: whole seconds, rounded up.
void SetSeconds(std::chrono::milliseconds from, google::protobuf::Duration* to) {
  to->set_seconds(std::chrono::ceil<std::chrono::seconds>(from).count());
}

v2::RetryPolicy ProducerPolicy() {
  v2::RetryPolicy policy;
  policy.set_max_attempts(kProducerAttempts);
  v2::ExponentialBackoff* backoff = policy.mutable_exponential_backoff();
  SetDuration(std::chrono::milliseconds(10), backoff->mutable_initial());
  SetDuration(std::chrono::seconds(1), backoff->mutable_max());
  backoff->set_multiplier(2);
  return policy;
}

}  // namespace

v2::RetryPolicy RetryPolicyOf(const Group& group, std::string_view language) {
  v2::RetryPolicy policy;
  policy.set_max_attempts(static_cast<int32_t>(group.max_attempts));
  const bool knows_lists = language != "HTTP" && language != "NODE_JS";
  if (!group.retry_delays.empty() && knows_lists) {
    for (std::chrono::milliseconds delay : group.retry_delays) {
      SetSeconds(delay, policy.mutable_customized_backoff()->add_next());
    }
    return policy;
  }
  v2::ExponentialBackoff* backoff = policy.mutable_exponential_backoff();
  if (group.retry_delays.empty()) {
    SetSeconds(group.exponential.initial, backoff->mutable_initial());
    SetSeconds(group.exponential.max, backoff->mutable_max());
    backoff->set_multiplier(static_cast<float>(group.exponential.multiplier));
  } else {
    // The list's ends, for a client that cannot take the list.
    SetSeconds(group.retry_delays.front(), backoff->mutable_initial());
    SetSeconds(group.retry_delays.back(), backoff->mutable_max());
    backoff->set_multiplier(2);
  }
  return policy;
}

Group DefaultGroup(const config::v1::BrokerConfig& config, std::string_view name_space,
                   std::string_view name) {
  Group group;
  group.name_space = name_space;
  group.name = name;
  group.max_attempts = config.default_max_attempts();
  for (uint32_t seconds : config.retry_backoff_seconds()) {
    group.retry_delays.push_back(std::chrono::seconds(seconds));
  }
  return group;
}

absl::StatusOr<v2::Settings> MergeSettings(const v2::Settings& sent, const Group* group,
                                           const config::v1::BrokerConfig& config,
                                           std::string_view language) {
  v2::Settings settings = sent;
  settings.mutable_metric()->set_on(false);
  switch (sent.pub_sub_case()) {
    case v2::Settings::kPublishing:
      *settings.mutable_backoff_policy() = ProducerPolicy();
      settings.mutable_publishing()->set_max_body_size(
          static_cast<int32_t>(config.max_message_body_bytes()));
      settings.mutable_publishing()->set_validate_message_type(true);
      return settings;
    case v2::Settings::kSubscription: {
      const Group fallback = DefaultGroup(config, "", "");
      const Group& effective = group != nullptr ? *group : fallback;
      *settings.mutable_backoff_policy() = RetryPolicyOf(effective, language);
      v2::Subscription* subscription = settings.mutable_subscription();
      const bool lite = sent.client_type() == v2::LITE_PUSH_CONSUMER ||
                        sent.client_type() == v2::LITE_SIMPLE_CONSUMER;
      subscription->set_fifo(effective.fifo || lite);
      if (lite) {
        subscription->set_lite_subscription_quota(
            static_cast<int32_t>(config.lite_subscription_quota()));
        subscription->set_max_lite_topic_size(static_cast<int32_t>(kMaxLiteTopicName));
      }
      subscription->set_receive_batch_size(static_cast<int32_t>(config.max_receive_batch()));
      SetDuration(std::chrono::milliseconds(config.max_long_polling_ms()),
                  subscription->mutable_long_polling_timeout());
      return settings;
    }
    case v2::Settings::PUB_SUB_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "the settings say neither what the client publishes nor what it subscribes to; set "
      "`publishing` or `subscription`");
}

}  // namespace dunlin::broker
