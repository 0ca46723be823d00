#include "services/broker/rpc/publish_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/admission/placement.h"
#include "services/broker/admission/send_quota.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/timers/parking.h"

namespace dunlin::broker {
namespace {

// What a stream may have on its way without an answer.
constexpr int64_t kCreditBytes = 4 << 20;
// Bindings of one stream; more is no use, and each takes memory.
constexpr size_t kMaxBindings = 65'536;
// Of them, so many are looked after at a time; what comes behind waits.
constexpr int kMaxBindsUnderWay = 64;
// Answers that a client does not read pile up to here, then nothing more of it is read.
constexpr size_t kMaxUnsentAnswers = 1024;
// Far from where adding to one overflows.
constexpr uint64_t kMaxSequence = uint64_t{1} << 62;
// Requests this far beyond the largest message.
constexpr uint64_t kRequestRoom = 1u << 20;

absl::Status OnWireOf(const absl::Status& status) {
  // The log's own words; a code of the contract for those who act on it.
  if (!absl::IsUnavailable(status)) return status;
  return PublicError(PublicCode::kMasterPersistenceTimeout, FromAbsl(status.message()));
}

}  // namespace

// Held by the log until it is done with it, and by the call while it appends.
class PublishCall::Pending final : public store::CommitWaiter {
 public:
  struct Run {
    uint64_t first_sequence = 0;
    uint64_t count = 0;
    int64_t first_offset = -1;  // when `record` says none
    std::optional<size_t> record;
    bool parked = false;
  };

  Pending(std::shared_ptr<PublishCall> owner, uint32_t number, size_t size, Intake::Place taken)
      : binding(number), bytes(size), place(std::move(taken)), call_(std::move(owner)) {}

  void OnCommitted(const absl::Status& status) override {
    const std::shared_ptr<Pending> kept = std::move(self);
    if (status.ok()) Trace();
    call_->Settle(*this, status);
  }

  int64_t FirstOffset(const Run& run) const {
    if (!run.record.has_value() || run.parked) return run.first_offset;
    return static_cast<int64_t>(appended[*run.record].queue_offset.value());
  }

  const uint32_t binding;
  const size_t bytes;
  const Intake::Place place;
  std::vector<Run> runs;
  std::vector<Error> errors;  // what was left out of it; told before what is stored
  std::vector<store::Appended> appended;
  std::shared_ptr<Pending> self;  // while the log has it
  QueueKey queue;

 private:
  void Trace() const {
    for (const Run& run : runs) {
      if (!run.record.has_value() || run.parked) continue;
      call_->services_.trace.Note(TraceStep::kStored, queue, appended[*run.record].queue_offset,
                                  static_cast<uint32_t>(run.count), {.client = call_->client_});
    }
  }

  const std::shared_ptr<PublishCall> call_;
};

PublishCall::PublishCall(ServiceContext& services, OpenStreams& open_streams,
                         const grpc::CallbackServerContext& context)
    : services_(services),
      open_streams_(open_streams),
      call_(ReadCallContext(services.access, context)),
      limits_(StreamLimitsOf(services.config)) {}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishCall::Start(
    ServiceContext& services, OpenStreams& open_streams,
    const grpc::CallbackServerContext& context) {
  auto call = std::shared_ptr<PublishCall>(new PublishCall(services, open_streams, context));
  call->self_ = call;
  call->StartSendInitialMetadata();
  if (const absl::Status known = CheckCaller(call->call_); !known.ok()) {
    call->End(BrokenStream(known));
  } else {
    // Not of strangers: names are kept.
    call->client_ = services.trace.NumberOf(call->call_.client_id);
    open_streams.Add(call);
    MutexLock lock(call->mutex_);
    call->ReadOn();
  }
  return call.get();
}

void PublishCall::OnReadDone(bool ok) {
  if (!ok) {
    MutexLock lock(mutex_);
    half_closed_ = true;
    return WriteOrFinish();
  }
  Receive();
}

void PublishCall::Receive() {
  if (received_.Length() > limits_.max_body_bytes + kRequestRoom) {
    return End(BrokenStream(absl::InvalidArgumentError(
        fmt::format("a request of {} bytes; at most {} are taken", received_.Length(),
                    limits_.max_body_bytes + kRequestRoom))));
  }
  const FlatBuffer request(received_);
  const absl::StatusOr<bool> handled = Handle(request.view());
  if (!handled.ok()) return End(BrokenStream(handled.status()));
  if (!*handled) return;
  MutexLock lock(mutex_);
  ReadOn();
}

void PublishCall::ReadOn() {
  if (finished_ || end_.has_value()) return;
  if (unanswered_bytes_ >= kCreditBytes || binds_under_way_ >= kMaxBindsUnderWay ||
      unsent_.size() > kMaxUnsentAnswers) {
    read_waits_ = true;
    return;
  }
  read_waits_ = false;
  StartRead(&received_);
}

absl::StatusOr<bool> PublishCall::Handle(std::string_view request) {
  ASSIGN_OR_RETURN(const RawPublish publish, ScanPublish(request));
  if (opened_ == (publish.which == RawPublish::Case::kOpen)) {
    return absl::InvalidArgumentError(opened_ ? "the stream is open already"
                                              : "the first request of a stream is open");
  }
  switch (publish.which) {
    case RawPublish::Case::kOpen:
      RETURN_IF_ERROR(Open(publish.value));
      return true;
    case RawPublish::Case::kBind:
      RETURN_IF_ERROR(Bind(publish.value));
      return true;
    case RawPublish::Case::kFrame:
      return StoreFrame(publish.value, request.size());
  }
  return absl::InvalidArgumentError("an unknown request");
}

absl::Status PublishCall::Open(std::string_view bytes) {
  v1::OpenPublish open;
  if (!open.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the OpenPublish is malformed");
  }
  opened_ = true;
  producer_id_ = open.producer_id();
  MutexLock lock(mutex_);
  v1::PublishOpened& opened = unsent_.Open();
  opened.set_credit_bytes(kCreditBytes);
  opened.set_max_request_bytes(limits_.max_body_bytes + kRequestRoom);
  WriteOrFinish();
  return absl::OkStatus();
}

absl::Status PublishCall::Bind(std::string_view bytes) {
  v1::BindQueue bind;
  if (!bind.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the BindQueue is malformed");
  }
  {
    MutexLock lock(mutex_);
    if (bindings_.contains(bind.binding())) {
      return absl::InvalidArgumentError(fmt::format("binding {} is in use", bind.binding()));
    }
    if (bindings_.size() >= kMaxBindings) {
      refused_.Add(bind.binding(), PublicCode::kTooManyRequests);
      unsent_.AddBound(
          bind.binding(),
          PublicError(PublicCode::kTooManyRequests,
                      fmt::format("a stream has at most {} bindings; open another one for more",
                                  kMaxBindings)));
      WriteOrFinish();
      return absl::OkStatus();
    }
    bindings_.try_emplace(bind.binding());
    refused_.Remove(bind.binding());
    ++binds_under_way_;
  }
  const apache::rocketmq::v2::Resource topic = bind.topic();
  FindOrCreateTopic(
      services_, call_, topic, kToPub,
      [call = self_,
       bind = std::move(bind)](absl::StatusOr<std::shared_ptr<const Topic>> found) mutable {
        // Looking the producer up may read the disk.
        auto task = [call, bind = std::move(bind), found = std::move(found)] {
          call->FinishBind(bind, found);
        };
        if (!call->services_.executor.Run(std::move(task)).ok()) {
          call->End({grpc::StatusCode::UNAVAILABLE, "the server is busy or stopping"});
        }
      });
  return absl::OkStatus();
}

absl::Status PublishCall::CheckBind(const v1::BindQueue& bind, const Topic& topic) const {
  if (!topic.writable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be written to", topic.name));
  }
  if (topic.lite()) {
    return PublicError(
        PublicCode::kNotImplemented,
        fmt::format("topic {} is of kind LITE, and streams do not serve lightweight "
                    "topics; send with SendMessage of apache.rocketmq.v2: in "
                    "RocketMQ's SDKs by a message with setLiteTopic, in Dunlin's for "
                    "C++ by LiteProducer",
                    topic.name));
  }
  if (bind.next_sequence() > kMaxSequence) {
    return PublicError(PublicCode::kBadRequest,
                       fmt::format("next_sequence {}: sequences run from 1 to {}",
                                   bind.next_sequence(), kMaxSequence));
  }
  if (bind.queue() >= topic.write_queues) {
    return PublicError(
        PublicCode::kBadRequest,
        fmt::format("topic {} has no queue {} for new messages: they run from 0 to {}", topic.name,
                    bind.queue(), topic.write_queues - 1));
  }
  for (const MessageKind kind : {MessageKind::kFifo, MessageKind::kDelay, MessageKind::kPriority}) {
    if (topic.Accepts(static_cast<int32_t>(kind))) return absl::OkStatus();
  }
  return CheckKind(MessageKind::kNormal, topic.kinds, topic.name);
}

void PublishCall::FinishBind(const v1::BindQueue& bind,
                             absl::StatusOr<std::shared_ptr<const Topic>> topic) {
  absl::Status status = topic.status();
  if (status.ok()) status = CheckBind(bind, **topic);
  Binding binding;
  uint64_t last = 0;
  if (status.ok()) {
    binding.topic = *topic;
    binding.queue = bind.queue();
    binding.permit = PermitFor(services_, call_, **topic, kToPub, nullptr);
    if (producer_id_ != 0) status = BindProducer(bind.next_sequence(), binding, last);
  }
  mutex_.Lock();
  if (done_) {
    mutex_.Unlock();
    return Unbind(binding);
  }
  if (status.ok()) {
    binding.ready = true;
    bindings_[bind.binding()] = std::move(binding);
  } else {
    bindings_.erase(bind.binding());
    refused_.Add(bind.binding(), CodeOf(status));
  }
  --binds_under_way_;
  v1::Bound& bound = unsent_.AddBound(bind.binding(), status);
  bound.set_last_sequence(last);
  if (topic.ok()) {
    bound.set_queues((*topic)->write_queues);
    bound.set_topic_id((*topic)->id.value());
  }
  if (read_waits_) ReadOn();
  WriteOrFinish();
  const bool go_on = std::exchange(held_, false) && !finished_ && !end_.has_value();
  mutex_.Unlock();
  if (go_on) Receive();
}

absl::Status PublishCall::BindProducer(uint64_t next_sequence, Binding& binding, uint64_t& last) {
  const QueueKey queue{binding.topic->id, binding.queue};
  ASSIGN_OR_RETURN(std::shared_ptr<ProducerQueue> producer,
                   services_.producers.Bind(producer_id_, queue));
  uint64_t stored = 0;
  LogOffset end;
  {
    MutexLock lock(producer->mutex);
    stored = producer->last_sequence;
    end = producer->end;
  }
  if (const absl::Status committed = AwaitCommitted(end); !committed.ok()) {
    services_.producers.Unbind(producer_id_, queue);
    return committed;
  }
  // Only now: a client whose binding is refused has told nothing about what was answered to it.
  if (next_sequence > 0) {
    MutexLock lock(producer->mutex);
    producer->last_sequence = std::max(producer->last_sequence, next_sequence - 1);
    stored = std::max(stored, next_sequence - 1);
  }
  last = stored;
  binding.producer = std::move(producer);
  return absl::OkStatus();
}

absl::Status PublishCall::AwaitCommitted(LogOffset end) const {
  for (LogOffset at = services_.log.confirmed().Get(); at < end;) {
    RETURN_IF_ERROR(OnWireOf(services_.log.health()));
    at = services_.log.confirmed().WaitAbove(at, std::chrono::milliseconds(100));
  }
  return absl::OkStatus();
}

absl::Status PublishCall::CheckTopic(Binding& binding) {
  std::shared_ptr<const Topic> now = services_.topics.FindTopic(binding.topic->id);
  if (now == nullptr) {
    return PublicError(PublicCode::kTopicNotFound,
                       fmt::format("topic {} was deleted", binding.topic->name));
  }
  binding.topic = std::move(now);
  RETURN_IF_ERROR(binding.permit.Check());
  if (!binding.topic->writable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be written to", binding.topic->name));
  }
  if (services_.retention.DiskIsFull()) {
    return DiskFull();
  }
  return absl::OkStatus();
}

absl::StatusOr<PublishCall::Found> PublishCall::FindBinding(uint32_t number) {
  MutexLock lock(mutex_);
  auto found = bindings_.find(number);
  if (found != bindings_.end()) {
    if (found->second.ready) return Found{&found->second, absl::OkStatus()};
    held_ = true;
    return Found{};
  }
  const std::optional<PublicCode> refused = refused_.Find(number);
  if (!refused.has_value()) {
    return absl::InvalidArgumentError(fmt::format("binding {} was never bound", number));
  }
  return Found{nullptr, PublicError(*refused, fmt::format("binding {} was refused", number))};
}

absl::StatusOr<bool> PublishCall::StoreFrame(std::string_view bytes, size_t request_size) {
  RETURN_IF_ERROR(ScanFrame(bytes, frame_));
  ASSIGN_OR_RETURN(Found found, FindBinding(frame_.binding));
  absl::Status status = std::move(found.refused);
  if (found.binding == nullptr && status.ok()) return false;
  if (frame_.first_sequence > kMaxSequence || (producer_id_ != 0 && frame_.first_sequence == 0)) {
    return absl::InvalidArgumentError(
        fmt::format("sequence {}: they run from 1 to {}", frame_.first_sequence, kMaxSequence));
  }
  if (status.ok()) status = StoreIn(*found.binding, request_size);
  if (status.ok()) {
    services_.log.CommitHere();
    return true;
  }
  MutexLock lock(mutex_);
  unsent_.AddError(status, frame_.binding, frame_.first_sequence, frame_.messages.size());
  WriteOrFinish();
  return true;
}

absl::Status PublishCall::StoreIn(Binding& binding, size_t request_size) {
  ASSIGN_OR_RETURN(Intake::Place place,
                   services_.intake.Enter(Intake::Source::kStream, request_size));
  RETURN_IF_ERROR(CheckTopic(binding));
  return Append(binding, request_size, std::move(place));
}

void PublishCall::BuildFrame(const Binding& binding, uint64_t skip, std::vector<Error>& errors) {
  const Topic& topic = *binding.topic;
  const Timestamp now = services_.clock.Now();
  RawMessage message;
  for (size_t i = skip; i < frame_.messages.size(); ++i) {
    const uint64_t sequence = frame_.first_sequence + i;
    absl::Status status = ScanFramed(frame_.messages[i], message, builder_.owned());
    if (!status.ok())
      status = PublicError(PublicCode::kMessageCorrupted, FromAbsl(status.message()));
    if (status.ok()) status = AdmitMessage(message, limits_, now, /*id_required=*/false);
    bool is_delayed = false;
    if (status.ok()) {
      const MessageKind kind = KindOf(message);
      status = CheckTopicTakes(topic, kind, message);
      is_delayed = kind == MessageKind::kDelay;
      if (status.ok()) status = CheckQueue(topic, kind, message, binding.queue);
      if (status.ok() && (kind == MessageKind::kTransaction || kind == MessageKind::kLite)) {
        status =
            PublicError(PublicCode::kNotImplemented,
                        fmt::format("messages of kind {} are not taken by streams{}", NameOf(kind),
                                    kind == MessageKind::kTransaction
                                        ? ": a half message is sent by SendMessage"
                                        : ""));
      }
    }
    if (status.ok()) {
      const bool waits = is_delayed && MustWait(message.delivery_time, now);
      builder_.Add(sequence, message, waits ? message.delivery_time : std::nullopt);
      continue;
    }
    // Neighbours with the same fault are told of it once.
    if (!errors.empty() && errors.back().status().message() == status.message() &&
        errors.back().status().code() == static_cast<int>(CodeOf(status)) &&
        errors.back().first_sequence() + errors.back().count() == sequence) {
      errors.back().set_count(errors.back().count() + 1);
      continue;
    }
    Error& error = errors.emplace_back();
    error.set_binding(frame_.binding);
    error.set_first_sequence(sequence);
    error.set_count(1);
    *error.mutable_status() = ToWire(status);
  }
}

uint64_t PublishCall::SkipStored(const ProducerQueue& queue, Pending& pending) const {
  const uint64_t first = frame_.first_sequence;
  const uint64_t end = first + frame_.messages.size();
  const uint64_t skip = std::min(queue.last_sequence + 1, end) - first;
  if (skip == 0) return 0;
  const ProducerQueue::Run& known = queue.last_run;
  const bool is_known =
      first >= known.first_sequence && first + skip <= known.first_sequence + known.count;
  const QueueOffset offset = known.first_offset + (first - known.first_sequence);
  pending.runs.push_back(
      {first, skip, is_known ? static_cast<int64_t>(offset.value()) : -1, std::nullopt, false});
  return skip;
}

absl::Status PublishCall::Append(Binding& binding, size_t request_size, Intake::Place place) {
  auto pending = std::make_shared<Pending>(self_, frame_.binding, request_size, std::move(place));
  pending->queue = {binding.topic->id, binding.queue};
  builder_.Begin(*binding.topic, binding.queue, producer_id_);
  const size_t messages = frame_.messages.size();
  if (binding.producer == nullptr) {
    RETURN_IF_ERROR(TakeSendQuota(*binding.topic, messages, request_size));
    BuildFrame(binding, 0, pending->errors);
    return AppendBuilt(pending);
  }
  ProducerQueue& queue = *binding.producer;
  MutexLock lock(queue.mutex);
  if (frame_.first_sequence > queue.last_sequence + 1) {
    return PublicError(PublicCode::kPreconditionFailed,
                       fmt::format("sequence {} comes behind {}: what is between them is missing",
                                   frame_.first_sequence, queue.last_sequence));
  }
  RETURN_IF_ERROR(TakeSendQuota(*binding.topic, messages, request_size));
  BuildFrame(binding, SkipStored(queue, *pending), pending->errors);
  RETURN_IF_ERROR(AppendBuilt(pending));
  const uint64_t last = frame_.first_sequence + messages - 1;
  queue.last_sequence = std::max(queue.last_sequence, last);
  if (builder_.runs().empty()) return absl::OkStatus();
  const Pending::Run& run = pending->runs.back();
  // Those that wait have no offset to answer a repetition with.
  queue.last_run = {};
  if (!run.parked) {
    queue.last_run = {run.first_sequence, run.count, pending->appended[*run.record].queue_offset};
  }
  queue.end = pending->appended.back().log_offset + 1;
  return absl::OkStatus();
}

absl::Status PublishCall::AppendBuilt(const std::shared_ptr<Pending>& pending) {
  builder_.End();
  for (const FrameBuilder::Run& run : builder_.runs()) {
    pending->runs.push_back({run.first_sequence, run.count, -1, run.first_record, run.parked});
  }
  if (pending->runs.empty()) {
    Tell(pending->errors);  // all of it was refused for good
    return absl::OkStatus();
  }
  pending->appended.resize(builder_.records().size());
  pending->self = pending;
  Count(1, static_cast<int64_t>(pending->bytes));
  const absl::Status status = services_.log.Append(builder_.records(), pending->appended,
                                                   pending.get(), store::CommitBy::kCaller);
  if (status.ok()) return status;
  pending->self.reset();
  Count(-1, -static_cast<int64_t>(pending->bytes));
  return OnWireOf(status);
}

void PublishCall::Count(int64_t frames, int64_t bytes) {
  MutexLock lock(mutex_);
  pending_ += frames;
  unanswered_bytes_ += bytes;
}

void PublishCall::Settle(const Pending& pending, const absl::Status& status) {
  MutexLock lock(mutex_);
  --pending_;
  unanswered_bytes_ -= static_cast<int64_t>(pending.bytes);
  for (const Error& error : pending.errors) unsent_.AddError(error);
  for (const Pending::Run& run : pending.runs) {
    if (status.ok()) {
      unsent_.AddAck(pending.binding, run.first_sequence, run.count, pending.FirstOffset(run));
    } else {
      unsent_.AddError(OnWireOf(status), pending.binding, run.first_sequence, run.count);
    }
  }
  if (read_waits_) ReadOn();
  WriteOrFinish();
}

void PublishCall::Tell(const std::vector<Error>& errors) {
  MutexLock lock(mutex_);
  for (const Error& error : errors) unsent_.AddError(error);
  WriteOrFinish();
}

void PublishCall::WriteOrFinish() {
  if (writing_ || finished_) return;
  if (!unsent_.empty()) {
    sending_ = Serialize(unsent_.Take());
    writing_ = true;
    StartWrite(&sending_);
    return;
  }
  if (!end_.has_value() && half_closed_ && pending_ + binds_under_way_ == 0) {
    end_ = grpc::Status::OK;
  }
  if (!end_.has_value()) return;
  finished_ = true;
  Finish(*end_);
}

void PublishCall::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok) {
    unsent_.Clear();
    if (!end_.has_value()) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone");
  }
  if (read_waits_) ReadOn();
  WriteOrFinish();
}

void PublishCall::End(const grpc::Status& status) {
  MutexLock lock(mutex_);
  if (!end_.has_value()) end_ = status;
  WriteOrFinish();
}

void PublishCall::OnCancel() {
  MutexLock lock(mutex_);
  unsent_.Clear();
  if (!end_.has_value()) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone");
  WriteOrFinish();
}

void PublishCall::EndForStop() {
  End({grpc::StatusCode::UNAVAILABLE, "the server stops; connect again"});
}

void PublishCall::OnDone() {
  open_streams_.Remove(this);
  {
    MutexLock lock(mutex_);
    done_ = true;
    for (const auto& [number, binding] : bindings_) Unbind(binding);
    bindings_.clear();
  }
  self_.reset();  // the log may still hold the last references
}

void PublishCall::Unbind(const Binding& binding) {
  if (binding.producer == nullptr) return;
  services_.producers.Unbind(producer_id_, {binding.topic->id, binding.queue});
}

}  // namespace dunlin::broker
