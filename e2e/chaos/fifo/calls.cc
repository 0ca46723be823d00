#include "e2e/chaos/fifo/calls.h"

#include <fmt/format.h>
#include <poll.h>

#include <charconv>
#include <utility>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e::fifo {
namespace {

constexpr std::chrono::seconds kDeadline{5};
// Before a call that failed is made again.
constexpr int kPauseMs = 20;
// More than any run comes to: nothing of the bench becomes a dead letter.
constexpr uint32_t kMaxAttempts = 1'000'000;

void Prepare(grpc::ClientContext& context) {
  AddHeaders(context);
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
}

std::unique_ptr<admin::v1::AdminService::Stub> Admin(const std::string& address) {
  return admin::v1::AdminService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
}

}  // namespace

std::string BodyOf(const Name& name) { return fmt::format("{} {}", name.group, name.number); }

std::string MessageGroupOf(int32_t group) { return fmt::format("group-{}", group); }

std::optional<Name> NameOf(std::string_view body) {
  Name name;
  const char* const end = body.data() + body.size();
  const auto [space, error] = std::from_chars(body.data(), end, name.group);
  if (error != std::errc() || space == end || *space != ' ') return std::nullopt;
  const auto [last, second] = std::from_chars(space + 1, end, name.number);
  if (second != std::errc() || last != end) return std::nullopt;
  return name;
}

absl::Status CreateTopic(const std::string& address, const std::string& topic, uint32_t queues) {
  admin::v1::CreateTopicRequest request;
  request.mutable_topic()->set_name(topic);
  request.mutable_topic()->set_queues(queues);
  request.mutable_topic()->add_kinds(admin::v1::FIFO);
  admin::v1::Topic created;
  grpc::ClientContext context;
  return FromGrpc(Admin(address)->CreateTopic(&context, request, &created));
}

absl::Status CreateOrderedGroup(const std::string& address, const std::string& group) {
  admin::v1::CreateGroupRequest request;
  request.mutable_group()->set_name(group);
  request.mutable_group()->set_delivery_order(admin::v1::IN_ORDER);
  request.mutable_group()->set_max_attempts(kMaxAttempts);
  admin::v1::Group created;
  grpc::ClientContext context;
  return FromGrpc(Admin(address)->CreateGroup(&context, request, &created));
}

void AddMessage(v2::SendMessageRequest& request, const std::string& topic, const Name& name) {
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_name(topic);
  message.set_body(BodyOf(name));
  v2::SystemProperties& system = *message.mutable_system_properties();
  system.set_message_id(fmt::format("{}-{}", name.group, name.number));
  system.set_message_type(v2::FIFO);
  system.set_message_group(MessageGroupOf(name.group));
}

Link::Link(std::string address, int number) : address_(std::move(address)), number_(number) {
  Connect();
}

void Link::Connect() { stub_ = v2::MessagingService::NewStub(MakeChannel(address_, number_)); }

bool Link::Check(const grpc::Status& status) {
  if (status.ok()) return true;
  poll(nullptr, 0, kPauseMs);
  Connect();
  return false;
}

bool Link::Send(const v2::SendMessageRequest& request) {
  grpc::ClientContext context;
  Prepare(context);
  v2::SendMessageResponse response;
  if (!Check(stub_->SendMessage(&context, request, &response))) return false;
  if (response.status().code() == v2::OK) return true;
  poll(nullptr, 0, kPauseMs);
  return false;
}

bool Link::Receive(const v2::ReceiveMessageRequest& request, std::vector<v2::Message>& messages) {
  messages.clear();
  grpc::ClientContext context;
  Prepare(context);
  const auto stream = stub_->ReceiveMessage(&context, request);
  v2::ReceiveMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_message()) messages.push_back(std::move(*element.mutable_message()));
  }
  return Check(stream->Finish());
}

void Link::Acknowledge(const v2::ReceiveMessageRequest& received,
                       const std::vector<const v2::Message*>& messages) {
  if (messages.empty()) return;
  v2::AckMessageRequest request;
  *request.mutable_topic() = received.message_queue().topic();
  *request.mutable_group() = received.group();
  for (const v2::Message* message : messages) {
    v2::AckMessageEntry& entry = *request.add_entries();
    entry.set_message_id(message->system_properties().message_id());
    entry.set_receipt_handle(message->system_properties().receipt_handle());
  }
  grpc::ClientContext context;
  Prepare(context);
  v2::AckMessageResponse response;
  Check(stub_->AckMessage(&context, request, &response));
}

void Link::Refuse(const v2::ReceiveMessageRequest& received, const v2::Message& message,
                  std::chrono::milliseconds delay) {
  v2::ChangeInvisibleDurationRequest request;
  *request.mutable_topic() = received.message_queue().topic();
  *request.mutable_group() = received.group();
  request.set_receipt_handle(message.system_properties().receipt_handle());
  request.mutable_invisible_duration()->set_nanos(
      static_cast<int32_t>(std::chrono::nanoseconds(delay).count()));
  grpc::ClientContext context;
  Prepare(context);
  v2::ChangeInvisibleDurationResponse response;
  Check(stub_->ChangeInvisibleDuration(&context, request, &response));
}

v2::ReceiveMessageRequest ReceiveRequest(const std::string& topic, const std::string& group,
                                         int batch, std::chrono::seconds lease,
                                         const std::string& attempt_id) {
  v2::ReceiveMessageRequest request;
  request.mutable_group()->set_name(group);
  request.mutable_message_queue()->mutable_topic()->set_name(topic);
  request.mutable_message_queue()->set_id(-1);
  request.mutable_filter_expression()->set_type(v2::TAG);
  request.mutable_filter_expression()->set_expression("*");
  request.set_batch_size(batch);
  request.mutable_invisible_duration()->set_seconds(lease.count());
  request.mutable_long_polling_timeout()->set_seconds(1);
  if (!attempt_id.empty()) request.set_attempt_id(attempt_id);
  return request;
}

}  // namespace dunlin::e2e::fifo
