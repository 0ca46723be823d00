#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/attachment.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {
namespace {

// Entries looked at for one frame: at most enough for a frame of small messages, and a bound for a
// filter that matches little.
constexpr size_t kLeastScan = 128;
constexpr size_t kMostScan = 4096;
// What was written lately is in memory; who reads further behind has the disk read ahead.
constexpr uint64_t kRecent = 256u << 20;
constexpr uint64_t kReadAhead = 16u << 20;

}  // namespace

absl::Status Attachment::CheckTopic() {
  std::shared_ptr<const Topic> now = services_.topics.FindTopic(topic_->id);
  if (now == nullptr) {
    return PublicError(PublicCode::kTopicNotFound,
                       fmt::format("topic {} was deleted", topic_->name));
  }
  topic_ = std::move(now);
  if (topic_->readable()) return absl::OkStatus();
  return PublicError(PublicCode::kForbidden,
                     fmt::format("topic {} may not be read from", topic_->name));
}

OffsetAttachment::OffsetAttachment(ServiceContext& services, uint32_t binding,
                                   std::shared_ptr<const Topic> topic, TagFilter filter,
                                   uint32_t queue, QueueOffset from,
                                   std::function<void(Attachment&)> ready)
    : Attachment(services, binding, topic, std::move(filter), std::move(ready)),
      queue_{topic->id, queue},
      next_(from.value()),
      scan_(kLeastScan) {}

Waiter::Outcome OffsetAttachment::TryServe() {
  const store::QueueBounds bounds = services_.dispatcher.queues().Bounds(queue_);
  const uint64_t next = next_.load();
  // What is outside the queue, or was deleted, is worth a look too.
  if (bounds.max.value() == next && services_.topics.FindTopic(queue_.topic) != nullptr) {
    return Outcome::kNothing;
  }
  BecomeReady();
  return Outcome::kServed;
}

Attachment::Produced OffsetAttachment::NextFrame() {
  Produced produced;
  if (produced.status = CheckTopic(); !produced.status.ok()) {
    produced.next = Next::kGone;
    return produced;
  }
  const store::QueueBounds bounds = services_.dispatcher.queues().Bounds(queue_);
  const uint64_t from = next_.load();
  if (QueueOffset(from) < bounds.min || QueueOffset(from) > bounds.max) {
    produced.next = Next::kGone;
    produced.status =
        PublicError(PublicCode::kIllegalOffset,
                    fmt::format("offset {} has expired: the queue holds {} to {}; attach again",
                                from, bounds.min.value(), bounds.max.value()));
    return produced;
  }
  std::vector<store::IndexEntry> entries;
  const absl::Status read =
      services_.dispatcher.queues().Read(queue_, QueueOffset(from), scan_, entries);
  if (!read.ok()) {
    produced.next = Next::kGone;
    produced.status = PublicError(PublicCode::kInternalServerError, FromAbsl(read.message()));
    return produced;
  }
  if (!entries.empty()) ReadAhead(entries.front().log_offset);
  const std::unique_ptr<store::RecordReader> reader = services_.log.NewReader();
  RecordFrame frame;
  uint64_t next = from;
  for (const store::IndexEntry& entry : entries) {
    if (!Add(entry, *reader, frame)) break;
    ++next;
  }
  next_.store(next);
  const uint64_t used = next - from;
  if (used < entries.size()) {
    scan_ = std::max<size_t>(kLeastScan, used + used / 8);  // the frame is full
  } else if (used == scan_) {
    scan_ = std::min(kMostScan, scan_ * 2);
  }
  if (!frame.empty()) {
    produced.next = Next::kFrame;
    produced.frame = frame.Encode(binding(), next, bounds.max.value());
  } else if (next != from) {
    produced.next = Next::kAgain;
  }
  return produced;
}

void OffsetAttachment::ReadAhead(LogOffset at) {
  const LogOffset end = services_.log.written().Get();
  if (end < at + kRecent || at + kReadAhead / 2 < prefetched_) return;
  const LogOffset from = std::max(at, prefetched_);
  prefetched_ = at + kReadAhead;
  services_.log.Prefetch(from, prefetched_ - from);
}

bool OffsetAttachment::Add(const store::IndexEntry& entry, store::RecordReader& reader,
                           RecordFrame& frame) {
  if (entry.length == 0 || !filter_.MayMatch(entry.tag_hash)) return true;
  if (!frame.empty() && frame.bytes() + entry.length > kFrameBytes) return false;
  absl::StatusOr<store::RecordView> record = reader.Read(entry.log_offset);
  if (record.ok() && record->header().kind == store::RecordKind::kDelivery) {
    absl::StatusOr<Delivered> origin = services_.taker.ReadEntry(entry);
    if (origin.ok()) {
      const QueueOffset offset = record->header().queue_offset;
      frame.AddAs(origin->message, queue_, offset);
      return true;
    }
    record = origin.status();
  }
  if (!record.ok()) {
    log::Error("a message is passed over: {}", record.status().ToString());
    return true;
  }
  if (!filter_.matches_all()) {
    const absl::StatusOr<StoredMessage> stored =
        ScanStored(record->payload(), record->header().properties_offset);
    if (!stored.ok() || !filter_.Matches(stored->tag)) return true;
  }
  frame.Add(*record);
  return true;
}

}  // namespace dunlin::broker
