#include "services/broker/admin/dead_letter_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/admin/paging.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/admission/placement.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/lite/lite_table.h"
#include "services/broker/progress/concurrent_queue.h"
#include "services/broker/wire/stored_message.h"
#include "services/store/log/record.h"

namespace dunlin::broker {
namespace {

constexpr uint32_t kDefaultLetters = 32;
constexpr uint32_t kMaxLetters = 64;
// Sent again in one call.
constexpr size_t kMaxResent = 1000;
// While a letter is being sent again nobody else does; one that cannot be is left alone for as
// long.
constexpr std::chrono::milliseconds kLease = std::chrono::seconds(60);
// Letters that wait before one that is not: each takes memory, and bytes of the progress.
constexpr uint64_t kMaxWaiting = 10'000;

uint64_t Distance(QueueOffset from, QueueOffset to) { return to > from ? to - from : 0; }

QueueOffset Clamped(int64_t offset, const store::QueueBounds& bounds) {
  const QueueOffset asked(static_cast<uint64_t>(std::max<int64_t>(offset, 0)));
  return std::clamp(asked, bounds.min, bounds.max);
}

absl::Status ConsumedInOrder(const Group& group) {
  return absl::FailedPreconditionError(fmt::format(
      "group {} consumes its own dead letters, in order: acknowledge them there", group.name));
}

}  // namespace

// What is appended for a letter.
struct DeadLetterAdmin::Resent {
  std::shared_ptr<const Topic> topic;
  uint32_t queue = 0;
  LiteTable::Pin lite_topic;  // in a topic of them: until it was appended to
  LogOffset letter;           // to which it leads
  std::string payload;
};

DeadLetterAdmin::Box DeadLetterAdmin::BoxOf(std::shared_ptr<const Topic> topic) const {
  Box box;
  box.group = rooms_.topics.FindGroup(
      topic->name_space, std::string_view(topic->name).substr(kDeadLetterPrefix.size()));
  box.queue = {topic->id, 0};
  box.bounds = rooms_.dispatcher.queues().Bounds(box.queue);
  box.topic = std::move(topic);
  return box;
}

absl::StatusOr<DeadLetterAdmin::Box> DeadLetterAdmin::Open(const std::string& name_space,
                                                           const std::string& group) const {
  RETURN_IF_ERROR(CheckGroupName(name_space, group));
  std::shared_ptr<const Topic> topic =
      rooms_.topics.FindTopic(name_space, fmt::format("{}{}", kDeadLetterPrefix, group));
  if (topic != nullptr) return BoxOf(std::move(topic));
  return absl::NotFoundError(
      fmt::format("group {} has no dead letters; `dunlinctl dlq list` shows the groups that have",
                  QualifiedName(name_space, group)));
}

absl::StatusOr<std::vector<QueueOffset>> DeadLetterAdmin::Waiting(const Box& box, QueueOffset from,
                                                                  size_t limit) const {
  std::vector<QueueOffset> waiting;
  from = std::max(from, box.bounds.min);
  const auto add_new = [&](QueueOffset cursor) {
    for (QueueOffset at = std::max(from, cursor); at < box.bounds.max && waiting.size() < limit;
         ++at) {
      waiting.push_back(at);
    }
  };
  if (box.group == nullptr) {
    add_new(box.bounds.min);
    return waiting;
  }
  RETURN_IF_ERROR(rooms_.progress.Look(box.group->id, box.queue, [&](const GroupQueue* queue) {
    if (queue == nullptr) return add_new(box.bounds.min);
    for (auto entry = queue->in_flight().lower_bound(from);
         entry != queue->in_flight().end() && waiting.size() < limit; ++entry) {
      waiting.push_back(entry->first);
    }
    add_new(queue->cursor());
  }));
  return waiting;
}

absl::StatusOr<admin::v1::DeadLetterStatus> DeadLetterAdmin::StatusOf(const Box& box) const {
  admin::v1::DeadLetterStatus status;
  status.set_namespace_(box.topic->name_space);
  status.set_group(box.topic->name.substr(kDeadLetterPrefix.size()));
  status.set_held(box.bounds.max - box.bounds.min);
  status.set_end_offset(static_cast<int64_t>(box.bounds.max.value()));
  status.set_group_deleted(box.group == nullptr);
  QueueOffset first = box.bounds.min;
  uint64_t waiting = status.held();
  if (box.group != nullptr) {
    RETURN_IF_ERROR(rooms_.progress.Look(box.group->id, box.queue, [&](const GroupQueue* queue) {
      if (queue == nullptr) return;
      const auto open = queue->in_flight().lower_bound(box.bounds.min);
      const QueueOffset behind = std::max(queue->cursor(), box.bounds.min);
      waiting = Distance(behind, box.bounds.max) +
                static_cast<uint64_t>(std::distance(open, queue->in_flight().end()));
      first = open != queue->in_flight().end() ? open->first : std::min(behind, box.bounds.max);
    }));
  }
  status.set_waiting(waiting);
  status.set_first_offset(static_cast<int64_t>(first.value()));
  if (status.held() == 0) return status;
  const absl::StatusOr<Letter> last = Read(box, box.bounds.max - 1);
  if (last.ok()) SetTime(last->time, status.mutable_last_time());
  return status;
}

absl::StatusOr<admin::v1::ListDeadLettersResponse> DeadLetterAdmin::List(
    const admin::v1::ListDeadLettersRequest& request) const {
  std::vector<std::shared_ptr<const Topic>> topics = rooms_.topics.Topics();
  std::erase_if(topics,
                [](const auto& topic) { return !topic->name.starts_with(kDeadLetterPrefix); });
  admin::v1::ListDeadLettersResponse response;
  ASSIGN_OR_RETURN(const auto page,
                   Page(std::move(topics), request.page_size(), request.page_token(),
                        *response.mutable_next_page_token()));
  for (const auto& topic : page) {
    ASSIGN_OR_RETURN(admin::v1::DeadLetterStatus status, StatusOf(BoxOf(topic)));
    if (status.held() > 0) *response.add_groups() = std::move(status);
  }
  return response;
}

absl::StatusOr<DeadLetterAdmin::Letter> DeadLetterAdmin::Read(const Box& box,
                                                              QueueOffset offset) const {
  std::vector<store::IndexEntry> entries;
  RETURN_IF_ERROR(rooms_.dispatcher.queues().Read(box.queue, offset, 1, entries));
  if (entries.empty() || entries.front().length == 0) {
    return absl::DataLossError(fmt::format("letter {} cannot be read", offset.value()));
  }
  Letter letter;
  ASSIGN_OR_RETURN(const store::RecordView record, rooms_.log.Read(entries.front().log_offset));
  letter.time = record.header().store_time;
  const std::string_view payload = record.payload();
  if (record.header().kind != store::RecordKind::kDelivery ||
      !letter.delivery.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    // It was sent to the topic like to any other.
    letter.delivery.Clear();
  }
  ASSIGN_OR_RETURN(letter.message, rooms_.taker.ReadEntry(entries.front()));
  letter.log_offset = letter.message.message.header().log_offset;
  return letter;
}

absl::StatusOr<admin::v1::DeadLetter> DeadLetterAdmin::Show(const Box& box,
                                                            QueueOffset offset) const {
  admin::v1::DeadLetter shown;
  shown.set_offset(static_cast<int64_t>(offset.value()));
  const absl::StatusOr<Letter> letter = Read(box, offset);
  if (!letter.ok()) {
    log::Error("letter {} of {}: {}", offset.value(), box.topic->name, letter.status().ToString());
    return shown;
  }
  const storage::v1::Delivery& delivery = letter->delivery;
  ASSIGN_OR_RETURN(*shown.mutable_message(),
                   broker::Shown(letter->message, {box.queue, offset}, letter->log_offset));
  SetTime(letter->time, shown.mutable_time());
  shown.set_attempts(delivery.attempts());
  shown.set_reason(static_cast<admin::v1::DeadLetterReason>(delivery.reason()));
  shown.set_origin_queue(delivery.origin_queue());
  shown.set_origin_offset(static_cast<int64_t>(delivery.origin_queue_offset()));
  const std::shared_ptr<const Topic> origin =
      rooms_.topics.FindTopic(TopicId(delivery.origin_topic_id()));
  if (origin != nullptr) {
    shown.set_origin_topic(QualifiedName(origin->name_space, origin->name));
  } else if (delivery.origin_topic_id() != 0) {
    shown.set_origin_topic(fmt::format("(deleted, number {})", delivery.origin_topic_id()));
  }
  return shown;
}

absl::StatusOr<admin::v1::GetDeadLettersResponse> DeadLetterAdmin::Get(
    const admin::v1::GetDeadLettersRequest& request) const {
  ASSIGN_OR_RETURN(const Box box, Open(request.namespace_(), request.group()));
  if (request.limit() > kMaxLetters) {
    return absl::InvalidArgumentError(
        fmt::format("a limit of {}; choose 1 to {}", request.limit(), kMaxLetters));
  }
  const size_t limit = request.limit() == 0 ? kDefaultLetters : request.limit();
  const QueueOffset from = Clamped(request.offset(), box.bounds);
  // One more says where to go on.
  ASSIGN_OR_RETURN(const std::vector<QueueOffset> waiting, Waiting(box, from, limit + 1));
  std::vector<QueueOffset> asked = waiting;
  if (request.all()) {
    asked.clear();
    for (QueueOffset at = from; at < box.bounds.max && asked.size() <= limit; ++at) {
      asked.push_back(at);
    }
  }
  admin::v1::GetDeadLettersResponse response;
  response.set_next_offset(-1);
  if (asked.size() > limit) {
    response.set_next_offset(static_cast<int64_t>(asked.back().value()));
    asked.pop_back();
  }
  for (QueueOffset offset : asked) {
    ASSIGN_OR_RETURN(admin::v1::DeadLetter shown, Show(box, offset));
    shown.set_done(!std::binary_search(waiting.begin(), waiting.end(), offset));
    *response.add_letters() = std::move(shown);
  }
  return response;
}

absl::StatusOr<ReceiptHandle> DeadLetterAdmin::Claim(const Box& box, QueueOffset offset) {
  ReceiptHandle handle;
  RETURN_IF_ERROR(rooms_.progress.Edit(
      box.group->id, box.queue, box.bounds.min, [&](GroupQueue& queue, uint64_t lease) {
        if (queue.ordered()) return ConsumedInOrder(*box.group);
        const bool known = queue.in_flight().contains(offset);
        if (offset < queue.cursor() && !known) {
          return absl::FailedPreconditionError(
              fmt::format("letter {} is done: it was sent again, purged, or consumed by the group",
                          offset.value()));
        }
        const uint64_t waiting = queue.in_flight().size() + Distance(queue.cursor(), offset);
        if (waiting > kMaxWaiting) {
          return absl::ResourceExhaustedError(
              fmt::format("{} letters wait before letter {}; at most {} can be remembered: send "
                          "some of them again, or purge them, first",
                          waiting, offset.value(), kMaxWaiting));
        }
        GroupQueue::Terms terms;
        terms.lease_id = lease;
        terms.now = rooms_.clock.Now();
        terms.visible_at = terms.now + kLease;
        const GroupQueue::Entry* const entry =
            static_cast<ConcurrentQueue&>(queue).Claim(offset, terms);
        if (entry == nullptr) {
          return absl::FailedPreconditionError(
              fmt::format("letter {} is being sent again, or consumed by the group; if it still "
                          "waits in a minute, ask again",
                          offset.value()));
        }
        handle = {
            box.group->id,    box.queue,           offset, terms.lease_id, entry->second.attempts,
            terms.visible_at, /*auto_renew=*/false};
        return absl::OkStatus();
      }));
  return handle;
}

absl::StatusOr<std::vector<ReceiptHandle>> DeadLetterAdmin::ClaimMany(const Box& box,
                                                                      QueueOffset before,
                                                                      size_t limit) {
  bool ordered = false;
  RETURN_IF_ERROR(rooms_.progress.Look(box.group->id, box.queue, [&](const GroupQueue* queue) {
    ordered = queue != nullptr && queue->ordered();
  }));
  if (ordered) return ConsumedInOrder(*box.group);
  ReserveRequest request;
  request.group = box.group->id;
  request.queue = box.queue;
  request.bounds = {box.bounds.min, before};
  request.start = box.bounds.min;
  request.limit = limit;
  request.max_attempts = UINT32_MAX;
  request.invisible = kLease;
  std::vector<Reservation> reserved;
  RETURN_IF_ERROR(rooms_.progress.Reserve(request, reserved));
  std::vector<ReceiptHandle> handles;
  handles.reserve(reserved.size());
  for (const Reservation& reservation : reserved) handles.push_back(reservation.handle);
  // Those that were tried before come first, whatever their offsets.
  std::sort(handles.begin(), handles.end(),
            [](const ReceiptHandle& a, const ReceiptHandle& b) { return a.offset < b.offset; });
  return handles;
}

absl::StatusOr<DeadLetterAdmin::Resent> DeadLetterAdmin::Address(const Box& box,
                                                                 QueueOffset offset) const {
  ASSIGN_OR_RETURN(const Letter letter, Read(box, offset));
  const storage::v1::Delivery& origin = letter.delivery;
  if (origin.origin_topic_id() == 0) {
    return absl::FailedPreconditionError(
        fmt::format("message {} was sent to {} itself: it came from no other topic", offset.value(),
                    box.topic->name));
  }
  Resent resent;
  resent.topic = rooms_.topics.FindTopic(TopicId(origin.origin_topic_id()));
  if (resent.topic == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("the topic that letter {} came from was deleted; consume {} instead",
                    offset.value(), box.topic->name));
  }
  if (!resent.topic->writable()) {
    return absl::FailedPreconditionError(
        fmt::format("topic {}, which letter {} came from, may not be written to; `dunlinctl topic "
                    "update {} --permission READ_WRITE` changes that",
                    resent.topic->name, offset.value(), resent.topic->name));
  }
  const store::RecordView& message = letter.message.message;
  ASSIGN_OR_RETURN(const StoredMessage stored,
                   ScanStored(message.payload(), message.header().properties_offset));
  RETURN_IF_ERROR(ChooseQueue(stored, resent));
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(letter.log_offset.value());
  delivery.set_origin_topic_id(origin.origin_topic_id());
  delivery.set_origin_queue(origin.origin_queue());
  delivery.set_origin_queue_offset(origin.origin_queue_offset());
  delivery.set_only_group_id(box.group->id.value());
  resent.letter = letter.log_offset;
  resent.payload = delivery.SerializeAsString();
  return resent;
}

absl::Status DeadLetterAdmin::ChooseQueue(const StoredMessage& message, Resent& resent) const {
  const Topic& into = *resent.topic;
  if (into.lite()) {
    resent.lite_topic = rooms_.lite.table().Find(into.id, message.lite_topic);
    // One whose first message is just being stored has no number in the log yet.
    if (!resent.lite_topic || !resent.lite_topic->announced.load(std::memory_order_acquire)) {
      return absl::FailedPreconditionError(
          fmt::format("the lightweight topic {} of {} has expired; a message to it makes it again",
                      message.lite_topic, into.name));
    }
    resent.queue = resent.lite_topic->queue.queue;
    // As after a send: it is not idle.
    resent.lite_topic->used_ms.store(ToUnixMillis(rooms_.clock.Now()), std::memory_order_relaxed);
    return absl::OkStatus();
  }
  // The topic may have become a compacted one, for which it would lack a key.
  const bool chosen = !into.compacted || !message.keys.empty();
  const std::optional<uint32_t> queue =
      chosen ? QueueOf(into, message.kind, message) : std::optional<uint32_t>();
  resent.queue = queue.has_value()
                     ? *queue
                     : into.turn->fetch_add(1, std::memory_order_relaxed) % into.write_queues;
  return absl::OkStatus();
}

absl::Status DeadLetterAdmin::Append(const std::vector<Resent>& letters) {
  std::vector<std::string_view> payloads;
  payloads.reserve(letters.size());  // records point into it
  std::vector<store::NewRecord> records(letters.size());
  LogOffset oldest = letters.front().letter;
  for (size_t i = 0; i < letters.size(); ++i) {
    oldest = std::min(oldest, letters[i].letter);
    payloads.emplace_back(letters[i].payload);
    records[i].kind = store::RecordKind::kDelivery;
    records[i].queue = {letters[i].topic->id, letters[i].queue};
    records[i].tail = letters[i].lite_topic ? &letters[i].lite_topic->tail
                                            : letters[i].topic->tails[letters[i].queue].get();
    records[i].payload = {&payloads.back(), 1};
  }
  return rooms_.dispatcher.AppendPointers(records, oldest);
}

absl::StatusOr<admin::v1::ResendDeadLettersResponse> DeadLetterAdmin::Resend(
    const admin::v1::ResendDeadLettersRequest& request) {
  using Request = admin::v1::ResendDeadLettersRequest;
  ASSIGN_OR_RETURN(const Box box, Open(request.namespace_(), request.group()));
  RETURN_IF_ERROR(FindGroup(rooms_, request.namespace_(), request.group()).status());
  if (rooms_.retention.DiskIsFull()) {
    return absl::ResourceExhaustedError("the broker's disk is nearly full; nothing was sent again");
  }
  admin::v1::ResendDeadLettersResponse response;
  std::vector<ReceiptHandle> claimed;
  if (request.which_case() == Request::kOffset) {
    const QueueOffset offset(static_cast<uint64_t>(std::max<int64_t>(request.offset(), 0)));
    if (request.offset() < 0 || offset < box.bounds.min || offset >= box.bounds.max) {
      return absl::NotFoundError(fmt::format("there is no letter {}: {} holds {} to {}",
                                             request.offset(), box.topic->name,
                                             box.bounds.min.value(), box.bounds.max.value()));
    }
    RETURN_IF_ERROR(Address(box, offset).status());  // before anything changes
    ASSIGN_OR_RETURN(claimed.emplace_back(), Claim(box, offset));
  } else if (request.which_case() == Request::kBeforeOffset) {
    const QueueOffset before = Clamped(request.before_offset(), box.bounds);
    response.set_before_offset(static_cast<int64_t>(before.value()));
    ASSIGN_OR_RETURN(claimed, ClaimMany(box, before, kMaxResent));
    response.set_more(claimed.size() == kMaxResent);
  } else {
    return absl::InvalidArgumentError("say which letters: one offset, or all before an offset");
  }
  std::vector<Resent> letters;
  std::vector<ReceiptHandle> on_their_way;
  for (const ReceiptHandle& handle : claimed) {
    absl::StatusOr<Resent> letter = Address(box, handle.offset);
    if (letter.ok()) {
      letters.push_back(*std::move(letter));
      on_their_way.push_back(handle);
      continue;
    }
    rooms_.progress.Return(handle, kLease, /*counts=*/false);
    response.set_failed(response.failed() + 1);
    if (response.failure().empty()) {
      response.set_failure(std::string(FromAbsl(letter.status().message())));
    }
  }
  const absl::Status appended = letters.empty() ? absl::OkStatus() : Append(letters);
  for (const ReceiptHandle& handle : on_their_way) {
    if (appended.ok()) {
      rooms_.progress.Finish(handle);
    } else {
      rooms_.progress.Return(handle, std::chrono::milliseconds(0), /*counts=*/false);
    }
  }
  RETURN_IF_ERROR(appended);
  response.set_resent(on_their_way.size());
  return response;
}

absl::StatusOr<admin::v1::PurgeDeadLettersResponse> DeadLetterAdmin::Purge(
    const admin::v1::PurgeDeadLettersRequest& request) {
  using Request = admin::v1::PurgeDeadLettersRequest;
  ASSIGN_OR_RETURN(const Box box, Open(request.namespace_(), request.group()));
  RETURN_IF_ERROR(FindGroup(rooms_, request.namespace_(), request.group()).status());
  QueueOffset before = box.bounds.max;
  switch (request.to_case()) {
    case Request::kAll:
      break;
    case Request::kBeforeOffset:
      before = Clamped(request.before_offset(), box.bounds);
      break;
    case Request::kBeforeTime: {
      ASSIGN_OR_RETURN(const Timestamp time, ToTimestamp(request.before_time()));
      ASSIGN_OR_RETURN(before, rooms_.dispatcher.queues().FindByTime(box.queue, time));
      break;
    }
    case Request::TO_NOT_SET:
      return absl::InvalidArgumentError(
          "say which letters: all, or those before an offset or time");
  }
  const Timestamp now = rooms_.clock.Now();
  uint64_t purged = 0;
  RETURN_IF_ERROR(rooms_.progress.Edit(box.group->id, box.queue, box.bounds.min,
                                       [&](GroupQueue& queue, uint64_t /*lease*/) {
                                         queue.Expire(box.bounds.min, now);
                                         purged = queue.Skip(UINT64_MAX, before, now);
                                         return absl::OkStatus();
                                       }));
  admin::v1::PurgeDeadLettersResponse response;
  response.set_purged(purged);
  return response;
}

}  // namespace dunlin::broker
