#include "e2e/harness/client.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdlib>

#include "services/base/request_signature.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {

namespace {

constexpr int kPullBatch = 1024;
constexpr int kMostReconnectBackoffMs = 1000;
constexpr char kReaderGroup[] = "reader";

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("gRPC {}: {}", static_cast<int>(status.error_code()), status.error_message()));
}

absl::Status FromPublic(const v2::Status& status) {
  if (status.code() == v2::OK) return absl::OkStatus();
  const std::string text = fmt::format("{}: {}", v2::Code_Name(status.code()), status.message());
  if (status.code() == v2::OFFSET_NOT_FOUND) return absl::NotFoundError(text);
  return absl::FailedPreconditionError(text);
}

v2::MessageQueue QueueOf(const QueueName& name) {
  v2::MessageQueue queue;
  queue.mutable_topic()->set_name(name.topic);
  queue.set_id(static_cast<int32_t>(name.queue));
  return queue;
}

Credentials OfEnvironment() {
  const char* const access_key = std::getenv("DUNLIN_ACCESS_KEY");
  const char* const secret_key = std::getenv("DUNLIN_SECRET_KEY");
  if (access_key == nullptr || secret_key == nullptr) return {};
  return {.access_key = access_key, .secret_key = secret_key};
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, int number) {
  grpc::ChannelArguments arguments;
  // Else channels to one address share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt("dunlin.e2e.channel", number);
  arguments.SetMaxReceiveMessageSize(-1);
  // The address is a loopback one: no estimates of a distant network.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  // What is away comes back, perhaps at another address.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMostReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kMostReconnectBackoffMs);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void AddHeaders(grpc::ClientContext& context) {
  context.AddMetadata("x-mq-client-id", "e2e@1@0@harness");
  context.AddMetadata("x-mq-language", "CPP");
  context.AddMetadata("x-mq-client-version", "5.0.0");
  context.AddMetadata("x-mq-protocol", "v2");
  static const Credentials credentials = OfEnvironment();
  if (credentials.empty()) return;
  const std::string date_time = SignedDateTime(std::chrono::system_clock::now());
  context.AddMetadata(kDateTimeHeader, date_time);
  context.AddMetadata(kAuthorizationHeader, Authorization(credentials, date_time));
}

V2Client::V2Client(const std::string& address, std::chrono::milliseconds patience)
    : patience_(patience), stub_(v2::MessagingService::NewStub(MakeChannel(address, -1))) {}

void V2Client::Prepare(grpc::ClientContext& context) const {
  AddHeaders(context);
  context.set_deadline(std::chrono::system_clock::now() + patience_);
}

absl::StatusOr<int64_t> V2Client::Send(const v2::SendMessageRequest& request) {
  grpc::ClientContext context;
  Prepare(context);
  v2::SendMessageResponse response;
  RETURN_IF_ERROR(FromGrpc(stub_->SendMessage(&context, request, &response)));
  RETURN_IF_ERROR(FromPublic(response.status()));
  if (response.entries_size() != 1) {
    return absl::InternalError(fmt::format("{} entries for one message", response.entries_size()));
  }
  return response.entries(0).offset();
}

absl::StatusOr<int64_t> V2Client::Pull(
    const QueueName& queue, int64_t offset,
    const std::function<absl::Status(const v2::Message&)>& take) {
  v2::PullMessageRequest request;
  request.mutable_group()->set_name(kReaderGroup);
  *request.mutable_message_queue() = QueueOf(queue);
  request.set_offset(offset);
  request.set_batch_size(kPullBatch);
  request.mutable_long_polling_timeout()->set_seconds(0);
  grpc::ClientContext context;
  Prepare(context);
  auto stream = stub_->PullMessage(&context, request);
  v2::PullMessageResponse element;
  v2::Status answer;
  absl::Status taken;
  int64_t next = -1;
  while (stream->Read(&element)) {
    if (element.has_status()) {
      answer = element.status();
    } else if (element.has_message()) {
      if (taken.ok()) taken = take(element.message());
    } else {
      next = element.next_offset();
    }
  }
  const absl::Status finished = FromGrpc(stream->Finish());
  RETURN_IF_ERROR(taken);  // what was found wrong counts, however the call ends
  RETURN_IF_ERROR(finished);
  if (answer.code() != v2::MESSAGE_NOT_FOUND) RETURN_IF_ERROR(FromPublic(answer));
  if (next < offset) {
    return absl::InternalError(fmt::format("a pull from {} says to go on at {}", offset, next));
  }
  return next;
}

absl::StatusOr<int64_t> V2Client::EndOffset(const QueueName& queue) {
  v2::QueryOffsetRequest request;
  *request.mutable_message_queue() = QueueOf(queue);
  request.set_query_offset_policy(v2::END);
  grpc::ClientContext context;
  Prepare(context);
  v2::QueryOffsetResponse response;
  RETURN_IF_ERROR(FromGrpc(stub_->QueryOffset(&context, request, &response)));
  RETURN_IF_ERROR(FromPublic(response.status()));
  return response.offset();
}

absl::Status V2Client::UpdateOffset(const std::string& group, const QueueName& queue,
                                    int64_t offset) {
  v2::UpdateOffsetRequest request;
  request.mutable_group()->set_name(group);
  *request.mutable_message_queue() = QueueOf(queue);
  request.set_offset(offset);
  grpc::ClientContext context;
  Prepare(context);
  v2::UpdateOffsetResponse response;
  RETURN_IF_ERROR(FromGrpc(stub_->UpdateOffset(&context, request, &response)));
  return FromPublic(response.status());
}

absl::StatusOr<int64_t> V2Client::GetOffset(const std::string& group, const QueueName& queue) {
  v2::GetOffsetRequest request;
  request.mutable_group()->set_name(group);
  *request.mutable_message_queue() = QueueOf(queue);
  grpc::ClientContext context;
  Prepare(context);
  v2::GetOffsetResponse response;
  RETURN_IF_ERROR(FromGrpc(stub_->GetOffset(&context, request, &response)));
  RETURN_IF_ERROR(FromPublic(response.status()));
  return response.offset();
}

}  // namespace dunlin::e2e
