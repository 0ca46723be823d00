#include "services/broker/rpc/subscribe_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/lite/lite_binding.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/group_attachment.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

// Bindings of one stream; each takes a place in the waiting room.
constexpr size_t kMaxBindings = 65'536;
constexpr uint64_t kMinCredit = 64u << 10;
constexpr int64_t kMaxCredit = int64_t{1} << 40;
constexpr uint32_t kMaxUnsettled = 65'535;
// Answers that a client does not read pile up to here, then the stream ends.
constexpr size_t kMaxUnsentBytes = 1u << 20;

bool IsForCommits(const v1::Attach& attach) {
  return attach.has_offset() && attach.offset().start() == v1::OffsetMode::COMMIT_ONLY;
}

}  // namespace

SubscribeCall::SubscribeCall(ServiceContext& services, OpenStreams& open_streams,
                             const grpc::CallbackServerContext& context)
    : services_(services),
      open_streams_(open_streams),
      call_(ReadCallContext(services.access, context)) {}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SubscribeCall::Start(
    ServiceContext& services, OpenStreams& open_streams,
    const grpc::CallbackServerContext& context) {
  auto call = std::shared_ptr<SubscribeCall>(new SubscribeCall(services, open_streams, context));
  call->self_ = call;
  call->StartSendInitialMetadata();
  if (const absl::Status known = CheckCaller(call->call_); !known.ok()) {
    call->End(BrokenStream(known));
  } else {
    open_streams.Add(call);
    call->ReadOn();
  }
  return call.get();
}

void SubscribeCall::OnReadDone(bool ok) {
  if (!ok) return End(grpc::Status::OK);  // a consumer that says no more has gone
  v1::SubscribeRequest request;
  absl::Status parsed = CheckRequestSize(received_);
  if (parsed.ok()) parsed = Parse(received_, request);
  if (!parsed.ok()) return End(BrokenStream(parsed));
  const absl::StatusOr<bool> handled = Handle(request);
  if (!handled.ok()) return End(BrokenStream(handled.status()));
  if (*handled) ReadOn();
}

void SubscribeCall::ReadOn() {
  {
    MutexLock lock(mutex_);
    if (finished_ || end_.has_value()) return;
    if (unsent_.ByteSizeLong() <= kMaxUnsentBytes) return StartRead(&received_);
  }
  End({grpc::StatusCode::RESOURCE_EXHAUSTED,
       "the client does not read what it is sent on this stream"});
}

absl::StatusOr<bool> SubscribeCall::Handle(const v1::SubscribeRequest& request) {
  using Request = v1::SubscribeRequest;
  if (opened_ == (request.request_case() == Request::kOpen)) {
    return absl::InvalidArgumentError(opened_ ? "the stream is open already"
                                              : "the first request of a stream is open");
  }
  switch (request.request_case()) {
    case Request::kOpen:
      RETURN_IF_ERROR(Open(request.open()));
      return false;
    case Request::kAttach: {
      if (Find(request.attach().binding()).ok()) {
        return absl::InvalidArgumentError(
            fmt::format("binding {} is in use", request.attach().binding()));
      }
      // Finding the place to begin at may read the disk.
      auto task = [call = shared_from_this(), attach = request.attach()] { call->Attach(attach); };
      if (!services_.executor.Run(std::move(task)).ok()) {
        End({grpc::StatusCode::UNAVAILABLE, "the server is busy or stopping"});
      }
      return false;
    }
    case Request::kDetach:
      Detach(request.detach().binding(), absl::OkStatus());
      return true;
    case Request::kCreditBytes:
      RETURN_IF_ERROR(AddCredit(request.credit_bytes()));
      return true;
    case Request::kSettle:
      RETURN_IF_ERROR(Settle(request.settle()));
      return true;
    case Request::kCommit:
      RETURN_IF_ERROR(Commit(request.commit()));
      return true;
    case Request::REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a SubscribeRequest of a kind that this server does not know");
}

absl::Status SubscribeCall::Open(const v1::OpenSubscribe& open) {
  if (open.credit_bytes() < kMinCredit) {
    return absl::InvalidArgumentError(fmt::format("a credit of {} bytes; begin with at least {}",
                                                  open.credit_bytes(), kMinCredit));
  }
  opened_ = true;
  {
    MutexLock lock(mutex_);
    credit_ = static_cast<int64_t>(std::min<uint64_t>(open.credit_bytes(), kMaxCredit));
  }
  auto opened = [call = shared_from_this()](absl::StatusOr<std::shared_ptr<const Group>> group) {
    if (!group.ok()) return call->End(BrokenStream(group.status()));
    call->group_ = *std::move(group);
    {
      MutexLock lock(call->mutex_);
      call->unsent_.mutable_opened();
    }
    call->Pump();
    call->ReadOn();
  };
  if (open.group().name().empty()) {
    opened(std::shared_ptr<const Group>());
  } else {
    FindOrCreateGroup(services_, call_, open.group(), std::move(opened));
  }
  return absl::OkStatus();
}

void SubscribeCall::Attach(const v1::Attach& attach) {
  v1::Attached attached;
  attached.set_binding(attach.binding());
  absl::StatusOr<std::shared_ptr<Attachment>> made = MakeAttachment(attach, attached);
  *attached.mutable_status() = ToWire(made.status());
  {
    MutexLock lock(mutex_);
    if (made.ok() && attachments_.size() >= kMaxBindings) {
      *attached.mutable_status() = ToWire(PublicError(
          PublicCode::kBadRequest, fmt::format("a stream has at most {} bindings", kMaxBindings)));
      made = absl::ResourceExhaustedError("");
    }
    if (made.ok() && !finished_) {
      attachments_.emplace(attach.binding(), *made);
      if (!IsForCommits(attach)) ready_.push_back(*made);
    }
    *unsent_.add_attached() = std::move(attached);
  }
  Pump();
  ReadOn();
}

absl::StatusOr<QueueOffset> SubscribeCall::StartOf(const v1::OffsetMode& mode, QueueKey queue,
                                                   const store::QueueBounds& bounds) const {
  switch (mode.from_case()) {
    case v1::OffsetMode::kQueueOffset: {
      const QueueOffset offset(mode.queue_offset());
      if (offset >= bounds.min && offset <= bounds.max) return offset;
      return PublicError(PublicCode::kIllegalOffset,
                         fmt::format("offset {} is outside the queue, which holds {} to {}",
                                     offset.value(), bounds.min.value(), bounds.max.value()));
    }
    case v1::OffsetMode::kStoredAtMs:
      return services_.dispatcher.queues().FindByTime(queue, FromUnixMillis(mode.stored_at_ms()));
    case v1::OffsetMode::kStart:
      break;
    case v1::OffsetMode::FROM_NOT_SET:
      return PublicError(PublicCode::kBadRequest, "say where to begin: `from` is not set");
  }
  switch (mode.start()) {
    case v1::OffsetMode::FIRST:
      return bounds.min;
    case v1::OffsetMode::LAST:
      return bounds.max;
    case v1::OffsetMode::COMMITTED: {
      if (group_ == nullptr) {
        return PublicError(PublicCode::kBadRequest,
                           "COMMITTED needs a group: name one when the stream is opened");
      }
      const absl::StatusOr<QueueOffset> committed =
          services_.progress.CommittedOffset(group_->id, queue);
      if (committed.ok()) return std::clamp(*committed, bounds.min, bounds.max);
      return services_.taker.StartOf(*group_, queue);
    }
    case v1::OffsetMode::COMMIT_ONLY:
      if (group_ == nullptr || services_.read_only) {
        return PublicError(PublicCode::kBadRequest,
                           "COMMIT_ONLY is for the group of a stream to the master");
      }
      return bounds.max;
    default:
      return PublicError(PublicCode::kBadRequest,
                         "`start` is not FIRST, LAST, COMMITTED or COMMIT_ONLY");
  }
}

absl::StatusOr<std::shared_ptr<Attachment>> SubscribeCall::MakeAttachment(const v1::Attach& attach,
                                                                          v1::Attached& attached) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(services_, call_, attach.topic(), kToSub));
  if (!topic->readable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be read from", topic->name));
  }
  if (topic->lite()) {
    return PublicError(
        PublicCode::kNotImplemented,
        fmt::format("topic {} is of kind LITE, and streams do not serve lightweight "
                    "topics; receive with SyncLiteSubscription and ReceiveMessage of "
                    "apache.rocketmq.v2: in RocketMQ's SDKs and Dunlin's for C++ by "
                    "LitePushConsumer or LiteSimpleConsumer",
                    topic->name));
  }
  if (group_ != nullptr) RETURN_IF_ERROR(CheckBinding(*group_, *topic));
  attached.set_queues(topic->queues());
  attached.set_topic_id(topic->id.value());
  ASSIGN_OR_RETURN(MessageFilter filter, FindFilter(services_, attach.filter()));
  if (!attach.has_offset() && !attach.has_group()) {
    return PublicError(PublicCode::kBadRequest, "`mode` is not set");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Attachment> made,
                   attach.has_offset()
                       ? MakeOffsetAttachment(attach, topic, std::move(filter), attached)
                       : MakeGroupAttachment(attach, topic, std::move(filter)));
  made->SetPermit(PermitFor(services_, call_, *topic, kToSub, group_.get()));
  // The group's was looked at when the stream began.
  RETURN_IF_ERROR(made->CheckReader());
  return made;
}

std::function<void(Attachment&)> SubscribeCall::TellWhenReady() {
  return [weak = std::weak_ptr<SubscribeCall>(shared_from_this())](Attachment& attachment) {
    if (const auto call = weak.lock(); call != nullptr) call->BecomeReady(attachment);
  };
}

absl::StatusOr<std::shared_ptr<Attachment>> SubscribeCall::MakeOffsetAttachment(
    const v1::Attach& attach, const std::shared_ptr<const Topic>& topic, MessageFilter filter,
    v1::Attached& attached) {
  if (attach.offset().queue() >= topic->queues()) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("topic {} has no queue {}: they run from 0 to {}", topic->name,
                                   attach.offset().queue(), topic->queues() - 1));
  }
  const QueueKey queue{topic->id, attach.offset().queue()};
  const store::QueueBounds bounds = services_.dispatcher.queues().Bounds(queue);
  attached.set_min_offset(bounds.min.value());
  attached.set_max_offset(bounds.max.value());
  attached.set_read_only(services_.read_only);
  ASSIGN_OR_RETURN(const QueueOffset start, StartOf(attach.offset(), queue, bounds));
  attached.set_start_offset(start.value());
  auto made = std::make_shared<OffsetAttachment>(
      services_, attach.binding(), topic, std::move(filter), queue.queue, start, TellWhenReady());
  if (group_ != nullptr) made->ReadFor(group_->id);
  return made;
}

absl::StatusOr<std::shared_ptr<Attachment>> SubscribeCall::MakeGroupAttachment(
    const v1::Attach& attach, const std::shared_ptr<const Topic>& topic, MessageFilter filter) {
  if (services_.read_only) {
    return PublicError(PublicCode::kHaNotAvailable,
                       "a slave gives no leases: it serves offset mode only; ask for the route "
                       "again and attach at the master");
  }
  if (group_ == nullptr) {
    return PublicError(PublicCode::kBadRequest,
                       "group mode needs a group: name one when the stream is opened");
  }
  const std::chrono::milliseconds invisible(attach.group().invisible_ms());
  RETURN_IF_ERROR(CheckReceiveInvisible(invisible, services_.config.min_invisible_duration_ms(),
                                        services_.config.max_invisible_duration_ms()));
  const uint32_t unsettled = attach.group().max_unsettled();
  if (unsettled == 0 || unsettled > kMaxUnsettled) {
    return PublicError(PublicCode::kBadRequest, fmt::format("max_unsettled is {}; choose 1 to {}",
                                                            unsettled, kMaxUnsettled));
  }
  services_.clients.Touch(call_.client_id);
  RETURN_IF_ERROR(services_.subscriptions.EnterStream(
      {group_->id, topic->id}, {attach.filter().type(), attach.filter().expression()},
      call_.client_id));
  Subscription subscription;
  subscription.group = group_;
  subscription.topic = topic;
  subscription.filter = std::move(filter);
  subscription.invisible = invisible;
  subscription.client_id = call_.client_id;
  return std::make_shared<GroupAttachment>(services_, attach.binding(), std::move(subscription),
                                           unsettled, TellWhenReady());
}

absl::Status SubscribeCall::AddCredit(uint64_t bytes) {
  {
    MutexLock lock(mutex_);
    const auto more = static_cast<int64_t>(std::min<uint64_t>(bytes, kMaxCredit));
    credit_ = std::min(credit_ + more, kMaxCredit);
  }
  Pump();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Attachment>> SubscribeCall::Find(uint32_t binding) const {
  MutexLock lock(mutex_);
  auto found = attachments_.find(binding);
  if (found != attachments_.end()) return found->second;
  return absl::NotFoundError("no such binding (any more)");
}

absl::Status SubscribeCall::Settle(const v1::Settle& settle) {
  const absl::StatusOr<std::shared_ptr<Attachment>> found = Find(settle.binding());
  if (!found.ok()) return absl::OkStatus();  // it was detached meanwhile
  auto* const group = dynamic_cast<GroupAttachment*>(found->get());
  if (group == nullptr) return absl::InvalidArgumentError("verdicts are of group mode only");
  if (const absl::Status may = group->CheckReader(); !may.ok()) {
    Detach(settle.binding(), may);
    return absl::OkStatus();
  }
  services_.clients.Touch(call_.client_id);
  v1::SubscribeResponse answers;
  for (const v1::Verdict& verdict : settle.verdicts()) {
    if (!v1::Verdict::Outcome_IsValid(verdict.outcome())) {
      return absl::InvalidArgumentError(
          fmt::format("outcome {} of a verdict: this server knows ACK, RETRY, EXTEND, RELEASE and "
                      "BACKOFF",
                      static_cast<int>(verdict.outcome())));
    }
    group->Settle(verdict, answers);
  }
  {
    MutexLock lock(mutex_);
    unsent_.MergeFrom(answers);
  }
  // There is room for more.
  services_.waiting_room.Nudge(group->topic(), group->competes());
  Pump();
  return absl::OkStatus();
}

absl::Status SubscribeCall::Commit(const v1::CommitOffset& commit) {
  const absl::StatusOr<std::shared_ptr<Attachment>> found = Find(commit.binding());
  if (!found.ok()) return absl::OkStatus();
  auto* const attachment = dynamic_cast<OffsetAttachment*>(found->get());
  if (attachment == nullptr || group_ == nullptr) {
    return absl::InvalidArgumentError("offsets are committed in offset mode, for a group");
  }
  if (const absl::Status may = attachment->CheckReader(); !may.ok()) {
    Detach(commit.binding(), may);
    return absl::OkStatus();
  }
  if (services_.read_only) return absl::OkStatus();  // as `attached` has said
  if (services_.topics.FindTopic(attachment->topic()) == nullptr ||
      services_.topics.FindGroup(group_->id) == nullptr) {
    return absl::OkStatus();  // deleted meanwhile: the binding will hear of it
  }
  const absl::Status set = SetOffset(attachment->queue(), QueueOffset(commit.queue_offset()));
  if (set.ok()) return set;
  // The server's fault, and of this queue only: nothing about the conversation is wrong.
  log::Error("an offset of group {} is not committed: {}", group_->name, set.ToString());
  Detach(commit.binding(), PublicError(PublicCode::kInternalServerError, FromAbsl(set.message())));
  return absl::OkStatus();
}

absl::Status SubscribeCall::SetOffset(QueueKey queue, QueueOffset offset) {
  const store::QueueIndex& queues = services_.dispatcher.queues();
  std::vector<store::IndexEntry> none;
  // Bounds() alone would not tell a damaged index from an empty queue.
  const absl::Status read = queues.Read(queue, offset, /*limit=*/0, none);
  if (absl::IsOutOfRange(read)) {
    // Expired; or a crash has shortened the queue since the client read it.
    const store::QueueBounds bounds = queues.Bounds(queue);
    offset = std::clamp(offset, bounds.min, bounds.max);
  } else {
    RETURN_IF_ERROR(read);
  }
  return services_.progress.SetOffset(group_->id, queue, offset);
}

void SubscribeCall::Detach(uint32_t binding, const absl::Status& status) {
  std::shared_ptr<Attachment> gone;
  {
    MutexLock lock(mutex_);
    auto found = attachments_.find(binding);
    if (found != attachments_.end()) {
      gone = std::move(found->second);
      attachments_.erase(found);
    }
    if (made_.has_value() && made_->binding == binding) {
      credit_ += static_cast<int64_t>(made_->frame.size);
      made_.reset();
    }
    v1::Detached& detached = *unsent_.add_detached();
    detached.set_binding(binding);
    *detached.mutable_status() = ToWire(status);
  }
  if (gone != nullptr) {
    services_.waiting_room.Leave(*gone);
    gone->Release();
  }
  Pump();
}

void SubscribeCall::BecomeReady(Attachment& attachment) {
  {
    MutexLock lock(mutex_);
    auto found = attachments_.find(attachment.binding());
    if (found == attachments_.end() || found->second.get() != &attachment) return;
    ready_.push_back(found->second);
  }
  Pump();
}

bool SubscribeCall::HasUnsent() const {
  return unsent_.has_opened() || unsent_.attached_size() + unsent_.settled_size() > 0 ||
         unsent_.detached_size() > 0;
}

std::shared_ptr<Attachment> SubscribeCall::TakeTurn() {
  MutexLock lock(mutex_);
  pumping_ = false;
  if (finished_) return nullptr;
  if (!writing_ && HasUnsent() && !end_.has_value()) {
    Write(Serialize(unsent_));
    unsent_.Clear();
  }
  if (end_.has_value()) {
    if (writing_) return nullptr;
    finished_ = true;
    Finish(*end_);
    return nullptr;
  }
  if (!writing_ && made_.has_value()) {
    Write(made_->frame.buffer);
    made_.reset();
  }
  // Ahead of its turn only where the next is sure to be as full: else it grows meanwhile.
  if (writing_ && (made_.has_value() || !last_was_full_)) return nullptr;
  while (credit_ > 0 && !ready_.empty()) {
    std::shared_ptr<Attachment> next = std::move(ready_.front());
    ready_.pop_front();
    auto found = attachments_.find(next->binding());
    if (found == attachments_.end() || found->second != next) continue;  // detached meanwhile
    pumping_ = true;
    return next;
  }
  return nullptr;
}

void SubscribeCall::Write(const grpc::ByteBuffer& bytes) {
  sending_ = bytes;  // shares its slices
  writing_ = true;
  StartWrite(&sending_);
}

void SubscribeCall::Pump() {
  {
    MutexLock lock(mutex_);
    if (pumping_) return;  // whoever pumps looks again before it stops
    pumping_ = true;
  }
  while (const std::shared_ptr<Attachment> next = TakeTurn()) TakeResult(next, next->NextFrame());
}

void SubscribeCall::TakeResult(const std::shared_ptr<Attachment>& attachment,
                               Attachment::Produced produced) {
  switch (produced.next) {
    case Attachment::Next::kFrame: {
      MutexLock lock(mutex_);
      const auto found = attachments_.find(attachment->binding());
      if (finished_ || found == attachments_.end() || found->second != attachment) return;
      credit_ -= static_cast<int64_t>(produced.frame.size);
      ready_.push_back(attachment);
      last_was_full_ = produced.frame.size >= kFrameBytes / 2;
      made_ = Made{attachment->binding(), produced.frame};
      return;  // to TakeTurn, which sends it as soon as it may
    }
    case Attachment::Next::kAgain: {
      // Much was passed over: others have their turn on this thread before it goes on.
      auto again = [call = shared_from_this(), attachment] { call->BecomeReady(*attachment); };
      if (services_.executor.Run(std::move(again)).ok()) return;
      [[fallthrough]];
    }
    case Attachment::Next::kNothing: {
      const absl::Status entered =
          services_.waiting_room.Enter(attachment, attachment->topic(), attachment->competes(),
                                       services_.clock.Now() + attachment->Patience(), this);
      if (!entered.ok()) Detach(attachment->binding(), entered);
      return;
    }
    case Attachment::Next::kGone:
      return Detach(attachment->binding(), produced.status);
  }
}

void SubscribeCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    sending_.Clear();  // lets the segment go
    if (!ok && !end_.has_value()) {
      end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone");
    }
  }
  Pump();
}

void SubscribeCall::End(const grpc::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Pump();
}

void SubscribeCall::OnCancel() {
  End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
}

void SubscribeCall::EndForStop() {
  End({grpc::StatusCode::UNAVAILABLE, "the server stops; connect again"});
}

void SubscribeCall::OnDone() {
  open_streams_.Remove(this);
  absl::flat_hash_map<uint32_t, std::shared_ptr<Attachment>> gone;
  {
    MutexLock lock(mutex_);
    finished_ = true;
    gone.swap(attachments_);
    ready_.clear();
  }
  for (const auto& [binding, attachment] : gone) {
    services_.waiting_room.Leave(*attachment);
    attachment->Release();
  }
  self_.reset();  // others may hold the last reference for a moment
}

}  // namespace dunlin::broker
