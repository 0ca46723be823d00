#include "services/broker/admin/lite_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

constexpr uint32_t kDefaultPage = 100;
constexpr uint32_t kMaxPage = 1000;

absl::Status CheckLite(const Topic& topic) {
  if (topic.lite()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("topic {} is not of kind LITE: it has no lightweight topics", topic.name));
}

// The number of the queue behind which the page begins.
absl::StatusOr<uint32_t> ParseToken(const std::string& token) {
  uint32_t number = 0;
  if (token.empty()) return number;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
  if (error == std::errc() && end == token.data() + token.size()) return number;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is no page token; use that of the page before", token));
}

}  // namespace

absl::Status LiteAdmin::CheckBindTopic(const Group& group) const {
  if (group.lite_bind_topic.empty()) {
    if (!group.lite_exclusive) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("group {} has a model for lightweight topics, and no topic that has some; give "
                    "--lite-bind-topic",
                    group.name));
  }
  const std::shared_ptr<const Topic> topic =
      rooms_.topics.FindTopic(group.name_space, group.lite_bind_topic);
  if (topic != nullptr && topic->lite()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "group {} cannot be bound to {}, which {}; make a topic for it with `dunlinctl topic create "
      "NAME --kinds LITE` first",
      group.name, group.lite_bind_topic,
      topic == nullptr ? "does not exist" : "is not a topic of kind LITE"));
}

absl::StatusOr<admin::v1::ListLiteTopicsResponse> LiteAdmin::List(
    const Topic& topic, const admin::v1::ListLiteTopicsRequest& request) {
  RETURN_IF_ERROR(CheckLite(topic));
  if (request.page_size() > kMaxPage) {
    return absl::InvalidArgumentError(
        fmt::format("a page size of {}; choose 1 to {}", request.page_size(), kMaxPage));
  }
  const size_t limit = request.page_size() == 0 ? kDefaultPage : request.page_size();
  ASSIGN_OR_RETURN(const uint32_t behind, ParseToken(request.page_token()));
  std::vector<uint32_t> queues;
  bool more = false;
  RETURN_IF_ERROR(
      rooms_.state.VisitLiteTopics({topic.id, behind + 1}, [&](const storage::v1::LiteTopic& row) {
        if (TopicId(row.topic_id()) != topic.id) return false;
        more = queues.size() == limit;
        if (!more) queues.push_back(row.queue());
        return !more;
      }));
  admin::v1::ListLiteTopicsResponse response;
  const auto groups = rooms_.topics.GroupsBoundTo(topic);
  for (uint32_t queue : queues) {
    const LiteTable::Pin pin = rooms_.lite.table().Find(QueueKey{topic.id, queue});
    if (!pin) continue;  // just removed
    ASSIGN_OR_RETURN(*response.add_lite_topics(), Describe(*pin, groups));
  }
  if (more) response.set_next_page_token(std::to_string(queues.back()));
  response.set_total(rooms_.lite.table().CountOf(topic.id));
  return response;
}

absl::StatusOr<QueueKey> LiteAdmin::QueueOf(const Topic& topic, const std::string& name) {
  RETURN_IF_ERROR(CheckLite(topic));
  const LiteTable::Pin pin = rooms_.lite.table().Find(topic.id, name);
  if (pin) return pin->queue;
  return absl::NotFoundError(
      fmt::format("topic {} has no lightweight topic {}; `dunlinctl topic lite list {}` shows all",
                  topic.name, name, topic.name));
}

absl::StatusOr<admin::v1::LiteTopic> LiteAdmin::Get(const Topic& topic, const std::string& name) {
  ASSIGN_OR_RETURN(const QueueKey queue, QueueOf(topic, name));
  const LiteTable::Pin pin = rooms_.lite.table().Find(queue);
  if (!pin) return absl::NotFoundError(fmt::format("lightweight topic {} was just removed", name));
  return Describe(*pin, rooms_.topics.GroupsBoundTo(topic));
}

absl::StatusOr<admin::v1::LiteTopic> LiteAdmin::Describe(
    const LiteTopic& topic, const std::vector<std::shared_ptr<const Group>>& groups) {
  admin::v1::LiteTopic proto;
  proto.set_name(topic.name);
  proto.set_queue(topic.queue.queue);
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(topic.queue);
  proto.set_min_offset(static_cast<int64_t>(bounds.min.value()));
  proto.set_max_offset(static_cast<int64_t>(bounds.max.value()));
  SetTime(topic.created, proto.mutable_create_time());
  if (bounds.min != bounds.max) {
    SetTime(rooms_.lite.LastUse(topic), proto.mutable_last_store_time());
  }
  for (const std::shared_ptr<const Group>& group : groups) {
    RETURN_IF_ERROR(AddGroup(topic, *group, proto));
  }
  std::sort(proto.mutable_groups()->begin(), proto.mutable_groups()->end(),
            [](const auto& a, const auto& b) { return a.group() < b.group(); });
  return proto;
}

absl::Status LiteAdmin::AddGroup(const LiteTopic& topic, const Group& group,
                                 admin::v1::LiteTopic& proto) {
  const std::vector<std::string> clients =
      rooms_.lite.subscriptions().ClientsOf(group.id, topic.name);
  const absl::StatusOr<QueueOffset> committed =
      rooms_.progress.CommittedOffset(group.id, topic.queue);
  const bool consumed = CodeOf(committed.status()) != PublicCode::kOffsetNotFound;
  if (!consumed && clients.empty()) return absl::OkStatus();
  if (consumed) RETURN_IF_ERROR(committed.status());
  ASSIGN_OR_RETURN(const Progress::Counts counts, rooms_.progress.GetCounts(group.id, topic.queue));
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(topic.queue);
  const QueueOffset next = std::max(counts.cursor, bounds.min);
  const uint64_t undelivered = bounds.max > next ? bounds.max - next : 0;
  admin::v1::LiteTopicGroup& status = *proto.add_groups();
  status.set_group(group.name);
  status.set_committed_offset(static_cast<int64_t>(counts.committed.value()));
  status.set_lag(
      static_cast<int64_t>(undelivered + counts.waiting + counts.in_flight + counts.retrying));
  status.set_in_flight(static_cast<int64_t>(counts.in_flight));
  status.set_retrying(static_cast<int64_t>(counts.retrying));
  for (const std::string& client : clients) status.add_clients(client);
  return absl::OkStatus();
}

}  // namespace dunlin::broker
