#include "services/broker/rpc/send_call.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/admission/admission.h"
#include "services/broker/admission/placement.h"
#include "services/broker/admission/send_quota.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/lite_send.h"
#include "services/broker/rpc/other_brokers.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/timers/parking.h"
#include "services/broker/timers/recall_handle.h"
#include "services/broker/transactions/check_policy.h"
#include "services/broker/transactions/preparing.h"
#include "services/broker/transactions/transaction_id.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

}  // namespace

SendCall::SendCall(ServiceContext& services, grpc::CallbackServerContext& context,
                   const grpc::ByteBuffer& request, grpc::ByteBuffer& response)
    : services_(services),
      context_(context),
      reactor_(context.DefaultReactor()),
      response_(response),
      received_(request) {}

grpc::ServerUnaryReactor* SendCall::Start(ServiceContext& services,
                                          grpc::CallbackServerContext& context,
                                          const grpc::ByteBuffer& request,
                                          grpc::ByteBuffer& response) {
  auto* call = new SendCall(services, context, request, response);
  grpc::ServerUnaryReactor* const reactor = call->reactor_;
  call->Run();  // it may be gone now
  return reactor;
}

void SendCall::Finish(const grpc::Status& status) {
  reactor_->Finish(status);
  delete this;
}

bool SendCall::Abandoned() const {
  return context_.IsCancelled() || context_.deadline() <= std::chrono::system_clock::now();
}

void SendCall::Run() {
  // First, and before anything is looked at: what is turned away must cost little.
  absl::StatusOr<Intake::Place> place =
      services_.intake.Enter(Intake::Source::kCall, received_.Length());
  if (!place.ok()) return Refuse(place.status());
  place_ = *std::move(place);
  request_.emplace(received_);
  absl::StatusOr<RawSend> scanned = ScanSend(request_->view());
  if (!scanned.ok()) {
    // What gRPC itself answers to bytes that are no message.
    return Finish(
        grpc::Status(grpc::StatusCode::INTERNAL, std::string(scanned.status().message())));
  }
  send_ = *std::move(scanned);
  const CallContext call = ReadCallContext(services_.access, context_);
  absl::Status status = CheckCaller(call);
  if (status.ok()) client_ = services_.trace.NumberOf(call.client_id);
  if (status.ok()) status = AdmitSend(send_, LimitsOf(services_.config), services_.clock.Now());
  if (!status.ok()) return Refuse(status);
  v2::Resource topic;
  topic.set_resource_namespace(std::string(send_.messages[0].topic_namespace));
  topic.set_name(std::string(send_.messages[0].topic_name));
  FindOrCreateTopic(
      services_, call, topic, kToPub,
      [this, &log = services_.log](absl::StatusOr<std::shared_ptr<const Topic>> found) {
        // Perhaps it took a while.
        if (Abandoned()) return Finish(grpc::Status::CANCELLED);
        if (!found.ok()) return PassOn(found.status());
        const absl::Status done = Append(**found);
        if (!done.ok()) return Refuse(done);
        log.CommitHere();  // the call may be gone now, or any time before
      });
}

void SendCall::PassOn(const absl::Status& refusal) {
  if (services_.others == nullptr || CodeOf(refusal) != PublicCode::kTopicNotFound) {
    return Refuse(refusal);
  }
  Destination to;
  to.topic.set_resource_namespace(std::string(send_.messages[0].topic_namespace));
  to.topic.set_name(std::string(send_.messages[0].topic_name));
  services_.others->Pass({context_, received_, "SendMessage"}, std::move(to), refusal,
                         [this](const absl::Status& refused, const grpc::ByteBuffer& answer) {
                           if (!refused.ok()) return Refuse(refused);
                           response_ = answer;
                           Finish(grpc::Status::OK);
                         });
}

absl::Status SendCall::Append(const Topic& topic) {
  if (!topic.writable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be written to", topic.name));
  }
  if (services_.retention.DiskIsFull()) {
    return DiskFull();
  }
  if (topic.lite()) return AppendLite(topic);
  const Timestamp now = services_.clock.Now();
  absl::InlinedVector<store::NewRecord, 1> records(send_.messages.size());
  stored_.resize(records.size());
  queues_.resize(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    const RawMessage& message = send_.messages[i];
    const MessageKind kind = KindOf(message);
    RETURN_IF_ERROR(CheckTopicTakes(topic, kind, message));
    store::NewRecord& record = records[i];
    const std::optional<uint32_t> chosen = QueueOf(topic, kind, message);
    const uint32_t queue =
        chosen.has_value()
            ? *chosen
            : topic.turn->fetch_add(1, std::memory_order_relaxed) % topic.write_queues;
    queues_[i] = queue;
    record.queue = {topic.id, queue};
    record.tail = topic.tails[queue].get();
    record.properties_offset = message.properties_offset;
    record.payload = message.payload;
    if (message.gzip) record.flags = store::kFlagGzip;
    if (kind == MessageKind::kDelay && MustWait(message.delivery_time, now)) {
      stored_[i] = Stored::kParked;
      Park(*message.delivery_time, record);
    } else if (kind == MessageKind::kTransaction) {
      stored_[i] = Stored::kPrepared;
      const CheckPolicy policy = CheckPolicyOf(services_.config.transactions());
      Prepare(policy.FirstCheck(now, message.recovery_duration), record);
    }
  }
  RETURN_IF_ERROR(TakeSendQuota(topic, records.size(), received_.Length()));
  topic_ = topic.id;
  appended_.resize(records.size());
  return services_.log.Append({records.data(), records.size()},
                              {appended_.data(), appended_.size()}, this, store::CommitBy::kCaller);
}

absl::Status SendCall::AppendLite(const Topic& topic) {
  for (const RawMessage& message : send_.messages) {
    RETURN_IF_ERROR(CheckKind(KindOf(message), topic.kinds, topic.name));
  }
  RETURN_IF_ERROR(TakeSendQuota(topic, send_.messages.size(), received_.Length()));
  LiteBatch batch;
  RETURN_IF_ERROR(batch.Plan(services_.lite.table(), topic, send_));
  topic_ = topic.id;
  stored_.resize(send_.messages.size());
  first_message_ = batch.Announcements();
  for (size_t i = first_message_; i < batch.Records().size(); ++i) {
    queues_.push_back(batch.Records()[i].queue.queue);
  }
  appended_.resize(batch.Records().size());
  RETURN_IF_ERROR(services_.log.Append(batch.Records(), {appended_.data(), appended_.size()}, this,
                                       store::CommitBy::kCaller));
  batch.Appended();  // the call may be gone now
  return absl::OkStatus();
}

void SendCall::OnCommitted(const absl::Status& status) {
  if (!status.ok()) {
    return Refuse(PublicError(PublicCode::kMasterPersistenceTimeout, FromAbsl(status.message())));
  }
  v2::SendMessageResponse response;
  *response.mutable_status() = OkOnWire();
  for (size_t i = 0; i < send_.messages.size(); ++i) {
    const store::Appended& appended = appended_[first_message_ + i];
    v2::SendResultEntry& entry = *response.add_entries();
    *entry.mutable_status() = response.status();
    entry.set_message_id(std::string(send_.messages[i].message_id));
    if (stored_[i] == Stored::kPrepared) {
      entry.set_offset(-1);  // it gets one when it is committed
      entry.set_transaction_id(Encode(
          MakeTransactionId(topic_, appended.log_offset, entry.message_id(), services_.mark)));
      continue;
    }
    if (stored_[i] == Stored::kParked) {
      const store::TimerKey timer{*send_.messages[i].delivery_time, appended.log_offset};
      entry.set_offset(-1);  // it gets one when it is due
      entry.set_recall_handle(
          Encode(RecallHandle{topic_, timer, entry.message_id(), services_.config.broker_name()}));
      continue;
    }
    services_.trace.Note(TraceStep::kStored, {topic_, queues_[i]}, appended.queue_offset, 1,
                         {.client = client_});
    entry.set_offset(static_cast<int64_t>(appended.queue_offset.value()));
  }
  response_ = Serialize(response);
  Finish(grpc::Status::OK);
}

void SendCall::Refuse(const absl::Status& status) {
  HintRetry(status, context_);
  v2::SendMessageResponse response;
  *response.mutable_status() = ToWire(status);
  response_ = Serialize(response);
  Finish(grpc::Status::OK);
}

}  // namespace dunlin::broker
