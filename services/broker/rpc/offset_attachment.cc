#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/attachment.h"

namespace dunlin::broker {
namespace {

// Entries looked at for one frame: at most enough for a frame of small messages, and a bound for a
// filter that matches little.
constexpr size_t kLeastScan = 128;
constexpr size_t kMostScan = 4096;
// What was written lately is in memory; who reads further behind has the disk read ahead.
constexpr uint64_t kRecent = 256u << 20;
constexpr uint64_t kReadAhead = 16u << 20;
// A client whose filter lets nothing through hears how far it is so often, or after so many
// messages: what it commits follows from that, and where it goes on after a broken stream.
constexpr std::chrono::seconds kTellEvery{1};
constexpr uint64_t kTellAfter = 65'536;

}  // namespace

// What a frame has, and what more may go into it.
struct OffsetAttachment::Making {
  RecordFrame frame;
  size_t search = kFilterSearchBudget;
  RateLimit::Left left;
  uint64_t messages = 0;
  uint64_t bytes = 0;  // of payload, as those of a group's limit are

  bool IsSpent() const { return search == 0 || left.IsNone(); }
  void Count(uint64_t payload) {
    ++messages;
    --left.messages;
    bytes += payload;
    left.bytes -= std::min(left.bytes, payload);
  }
};

absl::Status Attachment::CheckTopic() {
  std::shared_ptr<const Topic> now = services_.topics.FindTopic(topic_->id);
  if (now == nullptr) {
    return PublicError(PublicCode::kTopicNotFound,
                       fmt::format("topic {} was deleted", topic_->name));
  }
  topic_ = std::move(now);
  RETURN_IF_ERROR(permit_.Check());
  if (topic_->readable()) return absl::OkStatus();
  return PublicError(PublicCode::kForbidden,
                     fmt::format("topic {} may not be read from", topic_->name));
}

OffsetAttachment::OffsetAttachment(ServiceContext& services, uint32_t binding,
                                   std::shared_ptr<const Topic> topic, MessageFilter filter,
                                   uint32_t queue, QueueOffset from,
                                   std::function<void(Attachment&)> ready)
    : Attachment(services, binding, topic, std::move(filter), std::move(ready)),
      queue_{topic->id, queue},
      next_(from.value()),
      scan_(kLeastScan),
      told_(from.value()),
      told_at_(services.clock.Now()) {}

Waiter::Outcome OffsetAttachment::TryServe() {
  const store::QueueBounds bounds = services_.dispatcher.queues().Bounds(queue_);
  const uint64_t next = next_.load();
  const std::shared_ptr<const Group> group = Reader();
  if (group != nullptr && group->paused) return Outcome::kNothing;
  // What is outside the queue, or was deleted, is worth a look too.
  if (bounds.max.value() == next && services_.topics.FindTopic(queue_.topic) != nullptr) {
    return Outcome::kNothing;
  }
  if (group != nullptr && group->Allowance().IsNone()) return Outcome::kNotYet;
  BecomeReady();
  return Outcome::kServed;
}

std::shared_ptr<const Group> OffsetAttachment::Reader() const {
  return reader_ == GroupId(0) ? nullptr : services_.topics.FindGroup(reader_);
}

absl::Status OffsetAttachment::ReadEntries(QueueOffset from, const store::QueueBounds& bounds,
                                           std::vector<store::IndexEntry>& entries) {
  if (from < bounds.min || from > bounds.max) {
    return PublicError(PublicCode::kIllegalOffset,
                       fmt::format("offset {} has expired: the queue holds {} to {}; attach again",
                                   from.value(), bounds.min.value(), bounds.max.value()));
  }
  const absl::Status read = services_.dispatcher.queues().Read(queue_, from, scan_, entries);
  if (!read.ok()) return PublicError(PublicCode::kInternalServerError, FromAbsl(read.message()));
  if (entries.empty()) return absl::OkStatus();
  const LogOffset at = entries.front().log_offset;
  ReadAhead(at);
  const bool was_cold =
      std::exchange(cold_, services_.cold_reads.IsCold(at, services_.log.written().Get()));
  if (cold_ && !was_cold) services_.cold_reads.CountReader();
  return absl::OkStatus();
}

Attachment::Produced OffsetAttachment::NextFrame() {
  Produced produced;
  if (produced.status = CheckTopic(); !produced.status.ok()) {
    produced.next = Next::kGone;
    return produced;
  }
  Making making;
  const std::shared_ptr<const Group> group = Reader();
  if (group != nullptr) making.left = group->paused ? RateLimit::Left{0, 0} : group->Allowance();
  const store::QueueBounds bounds = services_.dispatcher.queues().Bounds(queue_);
  const uint64_t from = next_.load();
  std::vector<store::IndexEntry> entries;
  // Who is held back hears all the same how far it is.
  if (!making.IsSpent()) produced.status = ReadEntries(QueueOffset(from), bounds, entries);
  if (!produced.status.ok()) {
    produced.next = Next::kGone;
    return produced;
  }
  const std::unique_ptr<store::RecordReader> reader = services_.log.NewReader();
  uint64_t next = from;
  for (const store::IndexEntry& entry : entries) {
    if (!Add(entry, *reader, making)) break;
    ++next;
  }
  if (group != nullptr) group->Charge(making.messages, making.bytes);
  services_.cold_reads.CountMessages(making.messages);
  next_.store(next);
  const uint64_t used = next - from;
  if (used < entries.size()) {
    scan_ = std::max<size_t>(kLeastScan, used + used / 8);  // the frame is full
  } else if (used == scan_) {
    scan_ = std::min(kMostScan, scan_ * 2);
  }
  const Timestamp now = services_.clock.Now();
  if (!making.frame.empty() || OwesPosition(next, now)) {
    told_ = next;
    told_at_ = now;
    produced.next = Next::kFrame;
    produced.frame = making.frame.Encode(binding(), {next, bounds.max.value(), cold_});
  } else if (next != from) {
    produced.next = Next::kAgain;
  }
  return produced;
}

bool OffsetAttachment::OwesPosition(uint64_t next, Timestamp now) const {
  return next >= told_ + kTellAfter || (next != told_ && now >= told_at_ + kTellEvery);
}

std::chrono::milliseconds OffsetAttachment::Patience() const {
  if (next_.load() == told_) return kPatience;
  const auto due =
      std::chrono::ceil<std::chrono::milliseconds>(told_at_ + kTellEvery - services_.clock.Now());
  return std::max(due, std::chrono::milliseconds(0));
}

void OffsetAttachment::ReadAhead(LogOffset at) {
  const LogOffset end = services_.log.written().Get();
  if (end < at + kRecent || at + kReadAhead / 2 < prefetched_) return;
  const LogOffset from = std::max(at, prefetched_);
  prefetched_ = at + kReadAhead;
  services_.log.Prefetch(from, prefetched_ - from);
}

bool OffsetAttachment::Add(const store::IndexEntry& entry, store::RecordReader& reader,
                           Making& making) {
  RecordFrame& frame = making.frame;
  if (making.IsSpent()) return false;
  if (entry.length == 0 || !filter_.MayMatch(entry.tag_hash)) return true;
  if (!frame.empty() && frame.bytes() + entry.length > kFrameBytes) return false;
  absl::StatusOr<store::RecordView> record = reader.Read(entry.log_offset);
  if (record.ok() && record->header().kind != store::RecordKind::kMessage) {
    absl::StatusOr<Delivered> origin = services_.taker.ReadEntry(entry);
    if (origin.ok()) {
      const QueueOffset offset = record->header().queue_offset;
      const GroupId only = origin->only_group;
      if (only != GroupId(0) && reader_ != GroupId(0) && only != reader_) return true;
      if (Matches(origin->message, making.search)) {
        frame.AddAs(origin->message, queue_, offset);
        making.Count(origin->message.payload().size());
      }
      return true;
    }
    record = origin.status();
  }
  if (!record.ok()) {
    log::Error("a message is passed over: {}", record.status().ToString());
    return true;
  }
  if (Matches(*record, making.search)) {
    frame.Add(*record);
    making.Count(record->payload().size());
  }
  return true;
}

bool OffsetAttachment::Matches(const store::RecordView& record, size_t& search) const {
  size_t searched = 0;
  const bool matches =
      filter_.Matches(record.payload(), record.header().properties_offset, searched);
  search -= std::min(search, searched);
  return matches;
}

}  // namespace dunlin::broker
