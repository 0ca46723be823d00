#include "services/broker/delivery/taker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/wire/message_group.h"
#include "services/broker/wire/message_properties.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {
namespace {

// What one call may look at and hand out. The first, with kFilterSearchBudget, keeps a filter that
// matches little from holding its thread; the second keeps a response of large messages from piling
// up behind a slow client.
constexpr size_t kScanBudget = 4096;
constexpr size_t kByteBudget = 8u << 20;
// With a filter more is leased at a time than the batch needs: most may be passed over.
constexpr size_t kFilteredStep = 128;
// Messages read ahead at a time for an ordered group, at least: those of message groups that are in
// flight must wait.
constexpr size_t kAheadStep = 32;

// Flags of a message that did not stand in its queue from the start.
constexpr uint8_t kWaiting = store::kFlagParked | store::kFlagPrepared;

bool IsPointer(store::RecordKind kind) {
  return kind == store::RecordKind::kDelivery || kind == store::RecordKind::kResolution;
}

void LogNoProgress(const Subscription& subscription, uint32_t queue, const absl::Status& status) {
  log::Error("group {} cannot read its progress in {} queue {}: {}", subscription.group->name,
             subscription.topic->name, queue, status.ToString());
}

uint64_t PayloadBytes(const std::vector<Delivered>& messages) {
  uint64_t bytes = 0;
  for (const Delivered& message : messages) bytes += message.message.payload().size();
  return bytes;
}

}  // namespace

struct Taker::Budget {
  size_t messages = 0;
  size_t scan = kScanBudget;
  size_t bytes = kByteBudget;
  size_t search = kFilterSearchBudget;
  bool exhausted = true;  // stays true when no limit cut the search short
  std::optional<InFlightLimit> in_flight;

  // Nothing more may be handed out.
  bool IsFilled() const { return messages == 0 || bytes == 0; }
  // Nothing more may be looked at.
  bool IsFull() const { return IsFilled() || search == 0; }
  // Nothing more may be leased.
  bool IsSpent() const { return IsFull() || scan == 0; }
  // The group has as much in flight as it may.
  bool IsHeldBack() const { return in_flight.has_value() && in_flight->reached; }
};

// Messages of one queue that were read before they were leased.
class Taker::Ahead {
 public:
  void Begin(QueueOffset first) {
    first_ = first;
    seen_.clear();
    messages_.clear();
  }
  void Add(std::optional<Delivered> message, uint32_t lane) {
    seen_.push_back({lane, !message.has_value()});
    messages_.push_back(std::move(message));
  }

  bool IsEmpty() const { return seen_.empty(); }
  QueueOffset First() const { return first_; }
  const std::vector<LookedAt>& Seen() const { return seen_; }
  // Null when `offset` was not read, or has been fetched.
  std::optional<Delivered>* Find(QueueOffset offset) {
    if (offset < first_ || offset - first_ >= messages_.size()) return nullptr;
    std::optional<Delivered>& message = messages_[offset - first_];
    return message.has_value() ? &message : nullptr;
  }

 private:
  QueueOffset first_;
  std::vector<LookedAt> seen_;
  std::vector<std::optional<Delivered>> messages_;
};

Taker::Taker(store::CommitLog& log, const store::Dispatcher& dispatcher, Progress& progress,
             DeadLetters& dead_letters)
    : log_(log), dispatcher_(dispatcher), progress_(progress), dead_letters_(dead_letters) {}

Taker::Taken Taker::Take(const Subscription& subscription) {
  Taken taken;
  const Group& group = *subscription.group;
  if (group.paused) return taken;
  Budget budget;
  budget.messages = subscription.batch;
  budget.bytes = std::min(kByteBudget, subscription.bytes);
  const bool ordered = group.fifo && subscription.lite == nullptr;
  if (ordered && !subscription.attempt_id.empty()) {
    TakeAgain(subscription, budget, taken.messages);
    if (!taken.messages.empty()) return taken;
  }
  const uint32_t queues = subscription.topic->queues();
  const RateLimit::Left left = group.Allowance();
  budget.messages = std::min<size_t>(budget.messages, left.messages);
  budget.bytes = std::min<size_t>(budget.bytes, left.bytes);
  taken.throttled = left.IsNone();
  if (subscription.lite != nullptr) {
    TakeLite(subscription, budget, taken);
  } else {
    if (group.max_in_flight > 0) budget.in_flight = InFlightLimit{group.max_in_flight, queues};
    const Path path = PathOf(subscription);
    for (uint32_t i = 0; i < queues && !budget.IsSpent() && !budget.IsHeldBack(); ++i) {
      const uint32_t queue = (path.first + (path.down ? queues - i : i)) % queues;
      if (ordered) {
        TakeInOrder(subscription, queue, budget, taken.messages);
      } else {
        TakeFromQueue(subscription, queue, budget, taken.messages);
      }
    }
    taken.exhausted = budget.exhausted && !budget.IsSpent();
    taken.throttled |= budget.IsHeldBack();
  }
  group.Charge(taken.messages.size(), PayloadBytes(taken.messages));
  return taken;
}

void Taker::TakeLite(const Subscription& subscription, Budget& budget, Taken& taken) {
  while (!budget.IsSpent()) {
    const std::optional<uint32_t> queue = subscription.lite->Next();
    if (!queue.has_value()) return;
    TakeInOrder(subscription, *queue, budget, taken.messages);
    if (!budget.IsFilled() && budget.IsSpent()) subscription.lite->LookAgain(*queue);
  }
  taken.exhausted = false;
}

Taker::Path Taker::PathOf(const Subscription& subscription) {
  const Topic& topic = *subscription.topic;
  const Group& group = *subscription.group;
  const uint32_t turn = topic.turn->fetch_add(1, std::memory_order_relaxed);
  const uint32_t queues = topic.queues();
  // The order of a message group comes before that of priorities.
  if (group.fifo || !topic.Accepts(static_cast<int32_t>(MessageKind::kPriority))) {
    return {turn % queues, false};
  }
  // 61 and 100 have no common divisor: in 100 turns each share comes once, well mixed.
  if (turn % 100 * 61 % 100 < group.priority_factor) return {queues - 1, true};
  return {(turn + turn / 100) % queues, true};
}

QueueOffset Taker::StartOf(const Group& group, QueueKey queue) const {
  const QueueOffset first = dispatcher_.queues().Bounds(queue).min;
  if (group.start == Timestamp()) return first;
  bool begun = false;
  const absl::Status looked =
      progress_.Look(group.id, queue, [&](const GroupQueue* known) { begun = known != nullptr; });
  if (begun || !looked.ok()) return first;  // it will not be asked for
  const absl::StatusOr<QueueOffset> start = dispatcher_.queues().FindByTime(queue, group.start);
  if (start.ok()) return *start;
  log::Error("group {} begins in queue {} of topic {} with the first message: {}", group.name,
             queue.queue, queue.topic.value(), start.status().ToString());
  return first;
}

ReserveRequest Taker::RequestOf(const Subscription& subscription, uint32_t queue, Budget& budget) {
  ReserveRequest request;
  request.group = subscription.group->id;
  request.queue = {subscription.topic->id, queue};
  if (budget.in_flight.has_value()) request.group_limit = &*budget.in_flight;
  request.max_attempts = subscription.group->max_attempts;
  request.invisible = subscription.invisible;
  request.auto_renew = subscription.auto_renew;
  request.client_id = subscription.client_id;
  return request;
}

void Taker::SetBounds(const Subscription& subscription, ReserveRequest& request) const {
  request.bounds = dispatcher_.queues().Bounds(request.queue);
  request.start = request.bounds.min;
  if (subscription.group->start == Timestamp()) return;
  request.start = StartOf(*subscription.group, request.queue);
}

void Taker::TakeFromQueue(const Subscription& subscription, uint32_t queue, Budget& budget,
                          std::vector<Delivered>& messages) {
  ReserveRequest request = RequestOf(subscription, queue, budget);
  std::vector<Reservation> reserved;
  while (!budget.IsSpent()) {
    SetBounds(subscription, request);
    request.limit = subscription.filter.matches_all() ? budget.messages
                                                      : std::max(budget.messages, kFilteredStep);
    request.limit = std::min(request.limit, budget.scan);
    reserved.clear();
    const absl::Status status = progress_.Reserve(request, reserved);
    if (!status.ok()) return LogNoProgress(subscription, queue, status);
    if (reserved.empty()) return;
    budget.scan -= reserved.size();
    SettleAll(subscription, reserved, nullptr, budget, messages);
  }
}

void Taker::TakeInOrder(const Subscription& subscription, uint32_t queue, Budget& budget,
                        std::vector<Delivered>& messages) {
  ReserveRequest request = RequestOf(subscription, queue, budget);
  OrderedRequest ordered;
  ordered.attempt_id = subscription.attempt_id;
  ordered.lane_limit = subscription.message_group_batch;
  ordered.one_lane = subscription.lite != nullptr;
  OrderedReserved reserved;
  Ahead ahead;
  // What was read is told in any case: messages that a filter passes over are done then.
  while (!budget.IsSpent() || !ahead.IsEmpty()) {
    SetBounds(subscription, request);
    request.limit = std::min(budget.messages, budget.scan);
    ordered.first = ahead.First();
    ordered.ahead = ahead.Seen();
    const absl::Status status = progress_.ReserveInOrder(request, ordered, reserved);
    if (!status.ok()) return LogNoProgress(subscription, queue, status);
    // What was looked at stays where it is until there is room.
    if (reserved.messages.empty() && budget.IsHeldBack()) return;
    const bool found_some = !ahead.IsEmpty() || !reserved.messages.empty();
    budget.scan -= reserved.messages.size();
    SettleAll(subscription, reserved.messages, &ahead, budget, messages);
    ahead.Begin(reserved.next);
    const size_t limit =
        std::min({reserved.room, budget.scan, std::max(budget.messages, kAheadStep)});
    if (!budget.IsSpent()) {
      LookAhead(subscription, request.queue, reserved.next, limit, budget, ahead);
    }
    if (!found_some && ahead.IsEmpty()) return;
  }
}

void Taker::TakeAgain(const Subscription& subscription, Budget& budget,
                      std::vector<Delivered>& messages) {
  OrderedRequest ordered;
  ordered.attempt_id = subscription.attempt_id;
  ordered.repeat = true;
  OrderedReserved reserved;
  for (uint32_t queue = 0; queue < subscription.topic->queues() && !budget.IsSpent(); ++queue) {
    ReserveRequest request = RequestOf(subscription, queue, budget);
    SetBounds(subscription, request);
    request.limit = budget.messages;
    const absl::Status status = progress_.ReserveInOrder(request, ordered, reserved);
    if (!status.ok()) return LogNoProgress(subscription, queue, status);
    SettleAll(subscription, reserved.messages, nullptr, budget, messages);
  }
}

void Taker::LookAhead(const Subscription& subscription, QueueKey queue, QueueOffset from,
                      size_t limit, Budget& budget, Ahead& ahead) {
  if (limit == 0) return;
  std::vector<store::IndexEntry> entries;
  const absl::Status read = dispatcher_.queues().Read(queue, from, limit, entries);
  if (!read.ok() && !absl::IsOutOfRange(read)) {
    log::Error("index of {} queue {}: {}", subscription.topic->name, queue.queue, read.ToString());
  }
  for (const store::IndexEntry& entry : entries) {
    if (budget.search == 0) return;
    --budget.scan;
    std::optional<Delivered> message = ReadMatching(*subscription.topic, entry, subscription.filter,
                                                    subscription.group->id, budget.search);
    uint32_t lane = 0;
    if (message.has_value()) {
      const absl::StatusOr<StoredMessage> stored =
          ScanStored(message->message.payload(), message->message.header().properties_offset);
      if (stored.ok()) {
        lane = HashMessageGroup(stored->message_group);
      } else {
        log::Error("a message is passed over: {}", stored.status().ToString());
        message.reset();
      }
    }
    ahead.Add(std::move(message), lane);
  }
}

void Taker::SettleAll(const Subscription& subscription, const std::vector<Reservation>& reserved,
                      Ahead* ahead, Budget& budget, std::vector<Delivered>& messages) {
  const bool ordered = subscription.group->fifo;
  absl::flat_hash_set<uint32_t> held;  // lanes of which nothing more may go out
  std::vector<store::IndexEntry> entries;
  for (size_t i = 0; i < reserved.size();) {
    const ReceiptHandle& first = reserved[i].handle;
    std::optional<Delivered>* const read = ahead == nullptr ? nullptr : ahead->Find(first.offset);
    // One index read per run of neighbours.
    size_t run = 1;
    entries.clear();
    if (read == nullptr) {
      while (i + run < reserved.size() && reserved[i + run].handle.offset == first.offset + run &&
             (ahead == nullptr || ahead->Find(first.offset + run) == nullptr)) {
        ++run;
      }
      const absl::Status status =
          dispatcher_.queues().Read(first.queue, first.offset, run, entries);
      if (!status.ok() && !absl::IsOutOfRange(status)) {
        log::Error("index of {} queue {}: {}", subscription.topic->name, first.queue.queue,
                   status.ToString());
      }
    }
    for (size_t k = 0; k < run; ++k) {
      const Reservation& reservation = reserved[i + k];
      bool settled = false;
      if (ordered && held.contains(reservation.lane)) {
        progress_.Return(reservation.handle, std::chrono::milliseconds(0), /*counts=*/false);
      } else if (read != nullptr) {
        settled = HandOut(subscription, reservation, *std::exchange(*read, std::nullopt), budget,
                          messages);
      } else {
        settled = Settle(subscription, reservation, k < entries.size() ? &entries[k] : nullptr,
                         budget, messages);
      }
      if (ordered && !settled) held.insert(reservation.lane);
    }
    i += run;
  }
}

bool Taker::Settle(const Subscription& subscription, const Reservation& reservation,
                   const store::IndexEntry* entry, Budget& budget,
                   std::vector<Delivered>& messages) {
  const ReceiptHandle& handle = reservation.handle;
  if (entry == nullptr) {
    // Expired since the bounds were read, or the index failed: the next poll decides again.
    progress_.Return(handle, std::chrono::seconds(1), /*counts=*/false);
    return false;
  }
  if (budget.IsFull()) {
    progress_.Return(handle, std::chrono::milliseconds(0), /*counts=*/false);
    budget.exhausted = false;
    return false;
  }
  std::optional<Delivered> found = ReadMatching(*subscription.topic, *entry, subscription.filter,
                                                subscription.group->id, budget.search);
  if (!found.has_value()) {
    progress_.Finish(handle);
    return true;
  }
  return HandOut(subscription, reservation, *std::move(found), budget, messages);
}

bool Taker::HandOut(const Subscription& subscription, const Reservation& reservation,
                    Delivered message, Budget& budget, std::vector<Delivered>& messages) {
  const ReceiptHandle& handle = reservation.handle;
  if (budget.IsFilled()) {
    progress_.Return(handle, std::chrono::milliseconds(0), /*counts=*/false);
    budget.exhausted = false;
    return false;
  }
  if (reservation.exhausted) {
    DeadLetters::Letter letter{subscription.group, handle, message.message.header().log_offset,
                               handle.attempt - 1};
    const absl::Status submitted = dead_letters_.Submit(
        std::move(letter), [group = subscription.group](const absl::Status& status) {
          const bool stored_before = CodeOf(status) == PublicCode::kInvalidReceiptHandle;
          if (!status.ok() && !stored_before) {
            log::Warning("a dead letter of group {} waits for another try: {}", group->name,
                         status.ToString());
          }
        });
    if (!submitted.ok()) log::Warning("dead letter delayed: {}", submitted.ToString());
    return false;
  }
  message.handle = handle;
  --budget.messages;
  budget.bytes -= std::min<size_t>(budget.bytes, message.message.payload().size());
  messages.push_back(std::move(message));
  return true;
}

std::optional<Delivered> Taker::ReadMatching(const Topic& topic, const store::IndexEntry& entry,
                                             const MessageFilter& filter, GroupId reader,
                                             size_t& search) {
  if (entry.length == 0 && topic.compacted) return std::nullopt;  // a newer one is there
  if (!filter.MayMatch(entry.tag_hash)) return std::nullopt;
  absl::StatusOr<Delivered> message = ReadEntry(entry);
  if (!message.ok()) {
    damaged_.fetch_add(1, std::memory_order_relaxed);
    log::Error("a message is passed over: {}", message.status().ToString());
    return std::nullopt;
  }
  const GroupId only = message->only_group;
  if (only != GroupId(0) && reader != GroupId(0) && only != reader) return std::nullopt;
  size_t searched = 0;
  const bool matches = filter.Matches(message->message.payload(),
                                      message->message.header().properties_offset, searched);
  search -= std::min(search, searched);
  if (!matches) return std::nullopt;
  return *std::move(message);
}

absl::StatusOr<Delivered> Taker::ReadEntry(const store::IndexEntry& entry) const {
  if (entry.length == 0) return absl::DataLossError("the record of this offset is damaged");
  Delivered delivered;
  ASSIGN_OR_RETURN(delivered.message, log_.Read(entry.log_offset));
  // A dead letter, a delayed message that is due, or a half message that was committed: the record
  // points to its message, or to a record that the message was moved into.
  QueueOffset offset;  // what the message itself does not know if it waited
  while (IsPointer(delivered.message.header().kind)) {
    const bool first = !delivered.pointed_to;
    delivered.pointed_to = true;
    const uint8_t flags = delivered.message.header().flags;
    const bool delayed = (flags & (store::kFlagDue | store::kFlagKept | kWaiting)) != 0;
    storage::v1::Delivery delivery;
    const std::string_view payload = delivered.message.payload();
    if (!delivery.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
        LogOffset(delivery.origin_log_offset()) >= delivered.message.header().log_offset) {
      return absl::DataLossError(
          fmt::format("the record at {} points to no message", entry.log_offset.value()));
    }
    // What a letter points to may be one that was moved.
    if (first) {
      delivered.only_group = GroupId(delivery.only_group_id());
      delivered.dead_letter = !delayed && delivered.only_group == GroupId(0);
    }
    if (!delayed) offset = QueueOffset(delivery.origin_queue_offset());
    if ((flags & (store::kFlagDue | store::kFlagKept)) != 0) {
      offset = delivered.message.header().queue_offset;
    }
    if (!delivery.message().empty()) {
      // Moved here before its own segment went.
      store::RecordHeader header = delivered.message.header();
      if (!delayed) header.queue = {TopicId(delivery.origin_topic_id()), delivery.origin_queue()};
      header.queue_offset = offset;
      header.flags &= ~kWaiting;
      header.properties_offset = delivery.properties_offset();
      header.store_time = FromUnixMillis(delivery.stored_ms());
      auto bytes = std::make_shared<const std::string>(std::move(*delivery.mutable_message()));
      delivered.message = store::RecordView(header, *bytes, bytes);
      return delivered;
    }
    ASSIGN_OR_RETURN(delivered.message, log_.Read(LogOffset(delivery.origin_log_offset())));
  }
  if ((delivered.message.header().flags & kWaiting) != 0) {
    store::RecordHeader header = delivered.message.header();
    header.queue_offset = offset;
    header.flags &= ~kWaiting;
    delivered.message =
        store::RecordView(header, delivered.message.payload(), delivered.message.pin());
  }
  return delivered;
}

absl::StatusOr<Taker::Pulled> Taker::Pull(const Reading& reading) {
  const QueueKey key{reading.topic->id, reading.queue};
  const store::QueueBounds bounds = dispatcher_.queues().Bounds(key);
  if (reading.offset < bounds.min || reading.offset > bounds.max) {
    return PublicError(PublicCode::kIllegalOffset,
                       fmt::format("offset {} is outside queue {} of {}, which holds {} to {}",
                                   reading.offset.value(), key.queue, reading.topic->name,
                                   bounds.min.value(), bounds.max.value()));
  }
  Pulled pulled;
  pulled.next = reading.offset;
  const Group* const group = reading.group.get();
  if (group != nullptr && group->paused) return pulled;
  const RateLimit::Left left = group == nullptr ? RateLimit::Left() : group->Allowance();
  pulled.throttled = left.IsNone() && reading.offset < bounds.max;
  Budget budget;
  budget.messages = std::min<size_t>(reading.batch, left.messages);
  budget.bytes = std::min<size_t>(kByteBudget, left.bytes);
  std::vector<store::IndexEntry> entries;
  while (!budget.IsSpent()) {
    entries.clear();
    const size_t step = reading.filter.matches_all() ? budget.messages : kFilteredStep;
    RETURN_IF_ERROR(dispatcher_.queues().Read(key, pulled.next, step, entries));
    if (entries.empty()) break;
    for (const store::IndexEntry& entry : entries) {
      if (budget.IsSpent()) break;
      --budget.scan;
      std::optional<Delivered> found =
          ReadMatching(*reading.topic, entry, reading.filter,
                       group == nullptr ? GroupId(0) : group->id, budget.search);
      if (found.has_value()) {
        found->handle.queue = key;
        found->handle.offset = pulled.next;
        --budget.messages;
        budget.bytes -= std::min<size_t>(budget.bytes, found->message.payload().size());
        pulled.messages.push_back(*std::move(found));
      }
      ++pulled.next;
    }
  }
  if (group != nullptr) group->Charge(pulled.messages.size(), PayloadBytes(pulled.messages));
  return pulled;
}

}  // namespace dunlin::broker
