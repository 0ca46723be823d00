#include "services/broker/rpc/group_attachment.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "services/base/status_macros.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// Leased at a time.
constexpr size_t kBatch = 512;
// Messages that a consumer had when its stream ended come again after this.
constexpr milliseconds kReleaseDelay{1000};

TraceStep StepOf(v1::Verdict::Outcome outcome) {
  if (outcome == v1::Verdict::ACK) return TraceStep::kAcknowledged;
  return outcome == v1::Verdict::EXTEND ? TraceStep::kInvisibleChanged : TraceStep::kRefused;
}

}  // namespace

GroupAttachment::GroupAttachment(ServiceContext& services, uint32_t binding,
                                 Subscription subscription, uint32_t max_unsettled,
                                 std::function<void(Attachment&)> ready)
    : Attachment(services, binding, subscription.topic, subscription.filter, std::move(ready)),
      subscription_(std::move(subscription)),
      group_id_(subscription_.group->id),
      client_(services.trace.NumberOf(subscription_.client_id)),
      max_unsettled_(max_unsettled) {
  subscription_.bytes = kFrameBytes;  // what is leased is sent at once
  // Clients work on what a frame holds with many threads: neighbours would overtake each other.
  subscription_.message_group_batch = 1;
}

void GroupAttachment::Note(TraceStep step, const ReceiptHandle& handle) {
  services_.trace.Note(step, handle.queue, handle.offset, 1, {client_, group_id_, handle.attempt});
}

void GroupAttachment::ForgetEnded() {
  const Timestamp now = services_.clock.Now();
  for (auto lease = unsettled_.begin(); lease != unsettled_.end();) {
    auto current = lease++;
    if (current->second.visible_at <= now) unsettled_.erase(current);
  }
}

void GroupAttachment::DropEnded() {
  const Timestamp now = services_.clock.Now();
  for (auto message = taken_.begin(); message != taken_.end();) {
    const ReceiptHandle& handle = message->handle;
    if (handle.visible_at > now) {
      ++message;
      continue;
    }
    unsettled_.erase({handle.queue.queue, handle.offset.value()});
    message = taken_.erase(message);
  }
}

void GroupAttachment::RefreshGroup() {
  std::shared_ptr<const Group> now = services_.topics.FindGroup(group_id_);
  if (now != nullptr) subscription_.group = std::move(now);
}

GroupAttachment::Taking GroupAttachment::Take() {
  size_t room = 0;
  {
    MutexLock lock(mutex_);
    if (released_) return Taking::kReleased;
    DropEnded();
    if (!taken_.empty()) return Taking::kSome;
    if (unsettled_.size() >= max_unsettled_) ForgetEnded();
    room = max_unsettled_ - std::min<size_t>(max_unsettled_, unsettled_.size());
  }
  if (room == 0) return Taking::kFull;
  subscription_.batch = std::min(room, kBatch);
  RefreshGroup();
  Taker::Taken taken = services_.taker.Take(subscription_);
  MutexLock lock(mutex_);
  for (Delivered& message : taken.messages) {
    const ReceiptHandle& handle = message.handle;
    if (released_) {
      services_.progress.Return(handle, milliseconds(0), /*counts=*/false);
      continue;
    }
    unsettled_.insert_or_assign({handle.queue.queue, handle.offset.value()}, handle);
    taken_.push_back(std::move(message));
  }
  if (released_) return Taking::kReleased;
  if (!taken_.empty()) return Taking::kSome;
  if (taken.throttled) return Taking::kHeldBack;
  return taken.exhausted ? Taking::kNothing : Taking::kMore;
}

Waiter::Outcome GroupAttachment::TryServe() {
  // It may have got more queues while this waited.
  std::shared_ptr<const Topic> topic_now = services_.topics.FindTopic(topic());
  if (topic_now == nullptr || !topic_now->readable()) {
    BecomeReady();  // NextFrame says why there will be no more
    return Outcome::kServed;
  }
  subscription_.topic = std::move(topic_now);
  switch (Take()) {
    case Taking::kReleased:
      return Outcome::kServed;
    case Taking::kFull:
      return Outcome::kFull;
    case Taking::kMore:
      return Outcome::kLookAgain;
    case Taking::kNothing:
      return Outcome::kNothing;
    case Taking::kHeldBack:
      return Outcome::kNotYet;
    case Taking::kSome:
      break;
  }
  BecomeReady();
  return Outcome::kServed;
}

Attachment::Produced GroupAttachment::NextFrame() {
  Produced produced;
  produced.status = CheckTopic();
  if (produced.status.ok() && services_.topics.FindGroup(competes()) == nullptr) {
    produced.status = PublicError(PublicCode::kConsumerGroupNotFound, "the group was deleted");
  }
  if (!produced.status.ok()) {
    produced.next = Next::kGone;
    return produced;
  }
  subscription_.topic = topic_;
  const Taking taking = Take();
  if (taking != Taking::kSome) {
    produced.next = taking == Taking::kMore ? Next::kAgain : Next::kNothing;
    return produced;
  }
  RecordFrame frame;
  MutexLock lock(mutex_);
  while (!taken_.empty()) {
    const Delivered& message = taken_.front();
    if (!frame.empty() && frame.bytes() + message.message.header().length > kFrameBytes) break;
    if (message.pointed_to) {
      frame.AddAs(message.message, message.handle.queue, message.handle.offset);
    } else {
      frame.Add(message.message);
    }
    frame.AddLease(message.handle.lease_id, message.handle.attempt);
    Note(TraceStep::kDelivered, message.handle);
    taken_.pop_front();
  }
  if (frame.empty()) return produced;  // released meanwhile
  produced.next = Next::kFrame;
  produced.frame = frame.Encode(binding(), {});
  return produced;
}

absl::Status GroupAttachment::Obey(const v1::Verdict& verdict, const ReceiptHandle& handle,
                                   uint64_t& lease) {
  milliseconds delay(verdict.delay_ms());
  switch (verdict.outcome()) {
    case v1::Verdict::ACK:
      return services_.progress.Ack(handle);
    case v1::Verdict::RELEASE:
      RETURN_IF_ERROR(services_.progress.CheckLease(handle));
      services_.progress.Return(handle, delay, /*counts=*/false);
      break;
    case v1::Verdict::BACKOFF:
      if (const auto group = services_.topics.FindGroup(group_id_); group != nullptr) {
        delay = group->RetryDelay(handle.attempt);
      }
      [[fallthrough]];
    default: {
      ASSIGN_OR_RETURN(const ReceiptHandle changed,
                       services_.progress.ChangeInvisible(handle, delay, /*suspend=*/false));
      if (verdict.outcome() != v1::Verdict::EXTEND) break;
      lease = changed.lease_id;
      MutexLock lock(mutex_);
      unsettled_.insert_or_assign({verdict.queue(), verdict.queue_offset()}, changed);
    }
  }
  if (delay.count() == 0) services_.waiting_room.Nudge(topic(), competes());
  return absl::OkStatus();
}

void GroupAttachment::Settle(const v1::Verdict& verdict, v1::SubscribeResponse& response) {
  const milliseconds delay(verdict.delay_ms());
  ReceiptHandle handle;
  absl::Status status = CheckChangedInvisible(delay, services_.config.max_invisible_duration_ms());
  if (status.ok()) {
    status =
        PublicError(PublicCode::kInvalidReceiptHandle, "this stream has no such lease (any more)");
    MutexLock lock(mutex_);
    auto found = unsettled_.find({verdict.queue(), verdict.queue_offset()});
    if (found != unsettled_.end() && found->second.lease_id == verdict.lease()) {
      handle = found->second;
      status = absl::OkStatus();
      if (verdict.outcome() != v1::Verdict::EXTEND) unsettled_.erase(found);
    }
  }
  uint64_t lease = 0;
  if (status.ok()) status = Obey(verdict, handle, lease);
  if (status.ok()) Note(StepOf(verdict.outcome()), handle);
  if (status.ok() && verdict.outcome() != v1::Verdict::EXTEND) return;
  v1::Settled& settled = *response.add_settled();
  settled.set_binding(binding());
  settled.set_queue(verdict.queue());
  settled.set_queue_offset(verdict.queue_offset());
  settled.set_lease(lease);
  *settled.mutable_status() = ToWire(status);
}

void GroupAttachment::LeaveSubscription() {
  {
    MutexLock lock(mutex_);
    if (!std::exchange(entered_, false)) return;
  }
  services_.subscriptions.LeaveStream({group_id_, topic()}, subscription_.client_id);
}

void GroupAttachment::Release() {
  LeaveSubscription();
  MutexLock lock(mutex_);
  released_ = true;
  for (const Delivered& message : taken_) {
    services_.progress.Return(message.handle, milliseconds(0), /*counts=*/false);
    unsettled_.erase({message.handle.queue.queue, message.handle.offset.value()});
  }
  taken_.clear();
  for (const auto& [place, handle] : unsettled_) {
    services_.progress.Return(handle, kReleaseDelay, /*counts=*/true);
  }
  unsettled_.clear();
  services_.waiting_room.Nudge(topic(), competes());
}

}  // namespace dunlin::broker
