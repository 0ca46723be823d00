#include "e2e/harness/v2_client.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kCallDeadline{30};
constexpr int kPullBatch = 1024;
constexpr int kInvisibleSeconds = 30;

}  // namespace

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void PrepareContext(grpc::ClientContext& context) {
  context.AddMetadata("x-mq-client-id", "e2e@harness");
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
}

v2::Message NewMessage(const std::string& topic, uint64_t id) {
  v2::Message message;
  message.mutable_topic()->set_name(topic);
  v2::SystemProperties& properties = *message.mutable_system_properties();
  properties.set_message_id(fmt::format("01{:032X}", id));
  properties.set_message_type(v2::NORMAL);
  properties.set_body_encoding(v2::IDENTITY);
  properties.set_born_host("harness");
  properties.mutable_born_timestamp()->set_seconds(
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  return message;
}

absl::Status CheckAnswer(const grpc::Status& call, const v2::Status& answer) {
  if (!call.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(call.error_code()), call.error_message());
  }
  if (answer.code() == v2::OK) return absl::OkStatus();
  const std::string text = fmt::format("{}: {}", v2::Code_Name(answer.code()), answer.message());
  return answer.code() == v2::MESSAGE_NOT_FOUND ? absl::NotFoundError(text)
                                                : absl::FailedPreconditionError(text);
}

V2Client::V2Client(const std::string& address)
    : stub_(v2::MessagingService::NewStub(OpenChannel(address))) {}

absl::StatusOr<std::vector<v2::MessageQueue>> V2Client::QueryRoute(const std::string& topic) {
  grpc::ClientContext context;
  PrepareContext(context);
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name(topic);
  v2::QueryRouteResponse response;
  const grpc::Status call = stub_->QueryRoute(&context, request, &response);
  RETURN_IF_ERROR(CheckAnswer(call, response.status()));
  return std::vector<v2::MessageQueue>(response.message_queues().begin(),
                                       response.message_queues().end());
}

absl::StatusOr<uint64_t> V2Client::Send(const std::string& topic, const std::string& body) {
  static std::atomic<uint64_t> id = 0;
  grpc::ClientContext context;
  PrepareContext(context);
  v2::SendMessageRequest request;
  *request.add_messages() = NewMessage(topic, ++id);
  request.mutable_messages(0)->set_body(body);
  v2::SendMessageResponse response;
  const grpc::Status call = stub_->SendMessage(&context, request, &response);
  RETURN_IF_ERROR(CheckAnswer(call, response.status()));
  if (response.entries_size() != 1) {
    return absl::InternalError(fmt::format("{} results for one message", response.entries_size()));
  }
  return static_cast<uint64_t>(response.entries(0).offset());
}

absl::StatusOr<uint64_t> V2Client::Pull(const v2::MessageQueue& queue, uint64_t offset,
                                        const Observe& observe) {
  grpc::ClientContext context;
  PrepareContext(context);
  v2::PullMessageRequest request;
  request.mutable_group()->set_name("harness");
  *request.mutable_message_queue() = queue;
  request.set_offset(static_cast<int64_t>(offset));
  request.set_batch_size(kPullBatch);
  request.mutable_long_polling_timeout();
  const auto stream = stub_->PullMessage(&context, request);
  v2::Status answer;
  absl::Status observed;
  uint64_t next = offset;
  v2::PullMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_status()) answer = element.status();
    if (element.has_next_offset()) next = static_cast<uint64_t>(element.next_offset());
    if (element.has_message() && observed.ok()) observed = observe(element.message());
  }
  const absl::Status status = CheckAnswer(stream->Finish(), answer);
  RETURN_IF_ERROR(observed);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  return next;
}

absl::StatusOr<std::vector<v2::Message>> V2Client::Receive(const std::string& group,
                                                           const v2::MessageQueue& queue,
                                                           int count) {
  grpc::ClientContext context;
  PrepareContext(context);
  v2::ReceiveMessageRequest request;
  request.mutable_group()->set_name(group);
  *request.mutable_message_queue() = queue;
  request.mutable_filter_expression()->set_type(v2::TAG);
  request.mutable_filter_expression()->set_expression("*");
  request.set_batch_size(count);
  request.mutable_invisible_duration()->set_seconds(kInvisibleSeconds);
  request.mutable_long_polling_timeout()->set_seconds(1);
  const auto stream = stub_->ReceiveMessage(&context, request);
  v2::Status answer;
  std::vector<v2::Message> messages;
  v2::ReceiveMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_status()) answer = element.status();
    if (element.has_message()) messages.push_back(std::move(*element.mutable_message()));
  }
  const absl::Status status = CheckAnswer(stream->Finish(), answer);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  return messages;
}

absl::Status V2Client::Ack(const std::string& group, const v2::Message& message) {
  grpc::ClientContext context;
  PrepareContext(context);
  v2::AckMessageRequest request;
  request.mutable_group()->set_name(group);
  *request.mutable_topic() = message.topic();
  v2::AckMessageEntry& entry = *request.add_entries();
  entry.set_message_id(message.system_properties().message_id());
  entry.set_receipt_handle(message.system_properties().receipt_handle());
  v2::AckMessageResponse response;
  const grpc::Status call = stub_->AckMessage(&context, request, &response);
  return CheckAnswer(call, response.status());
}

absl::StatusOr<uint64_t> V2Client::QueryOffset(const v2::MessageQueue& queue,
                                               v2::QueryOffsetPolicy policy) {
  grpc::ClientContext context;
  PrepareContext(context);
  v2::QueryOffsetRequest request;
  *request.mutable_message_queue() = queue;
  request.set_query_offset_policy(policy);
  v2::QueryOffsetResponse response;
  const grpc::Status call = stub_->QueryOffset(&context, request, &response);
  RETURN_IF_ERROR(CheckAnswer(call, response.status()));
  return static_cast<uint64_t>(response.offset());
}

}  // namespace dunlin::e2e
