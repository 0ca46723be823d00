// A broker that stores nothing: answers every frame at once, and sends the same messages over and
// over. For measuring the client alone.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <deque>
#include <string>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/wire.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/crc32c.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

namespace v1 = dunlin::broker::v1;
using internal::ToBytes;
using internal::WireField;
using internal::WireReader;

constexpr uint32_t kQueues = 8;
constexpr uint64_t kCreditBytes = 16 << 20;
constexpr int kFrameBytes = 1 << 20;
constexpr size_t kRecordsBytes = 250 << 10;
constexpr size_t kHeaderBytes = 56;
constexpr size_t kBodyBytes = 128;

class Publish final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Publish() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    const grpc::Slice slice = internal::OneSlice(request_);
    WireReader reader({reinterpret_cast<const char*>(slice.begin()), slice.size()});
    v1::PublishResponse response;
    for (WireField field; reader.Next(field);) Answer(field, response);
    answer_ = ToBytes(response);
    StartWrite(&answer_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  static void Answer(const WireField& field, v1::PublishResponse& response) {
    if (field.number == 1) {
      response.mutable_opened()->set_credit_bytes(kCreditBytes);
    } else if (field.number == 2) {
      v1::BindQueue bind;
      bind.ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size()));
      v1::Bound& bound = *response.add_bound();
      bound.set_binding(bind.binding());
      bound.mutable_status()->set_code(apache::rocketmq::v2::OK);
      bound.set_queues(kQueues);
    } else {
      v1::PublishAck& ack = *response.add_acks();
      WireReader frame(field.bytes);
      uint32_t count = 0;
      for (WireField part; frame.Next(part);) {
        if (part.number == 1) ack.set_binding(static_cast<uint32_t>(part.varint));
        if (part.number == 2) ack.set_first_sequence(part.varint);
        if (part.number == 3) ++count;
      }
      ack.set_count(count);
      ack.set_first_offset(static_cast<int64_t>(ack.first_sequence()) - 1);
    }
  }

  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

// Records of messages of 128 bytes, as many as fit into a frame.
std::string MakeRecords() {
  apache::rocketmq::v2::Message message;
  message.set_body(std::string(kBodyBytes, 'x'));
  const std::string payload = message.SerializeAsString();
  std::string records;
  for (uint64_t offset = 0; records.size() < kRecordsBytes; ++offset) {
    std::string record(kHeaderBytes, '\0');
    const auto put = [&record](size_t at, auto value) {
      record.replace(at, sizeof(value), reinterpret_cast<const char*>(&value), sizeof(value));
    };
    put(0, static_cast<uint32_t>(kHeaderBytes + payload.size()));
    put(8, uint8_t{1});
    put(32, offset);
    record += payload;
    put(4, Crc32c(std::string_view(record).substr(8)));
    record.resize((record.size() + 7) / 8 * 8);
    records += record;
  }
  return records;
}

// Sends frames of one queue as long as there is credit.
class Subscribe final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Subscribe() {
    v1::SubscribeResponse response;
    response.mutable_frame()->set_binding(1);
    response.mutable_frame()->set_next_offset(1);
    response.mutable_frame()->set_records(MakeRecords());
    frame_ = ToBytes(response);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      MutexLock lock(mutex_);
      if (!finished_) Finish(grpc::Status::OK);
      finished_ = true;
      return;
    }
    v1::SubscribeRequest request;
    internal::FromBytes(request_, request);
    {
      MutexLock lock(mutex_);
      v1::SubscribeResponse response;
      if (request.has_open()) {
        credit_ += static_cast<int64_t>(request.open().credit_bytes());
        response.mutable_opened();
        control_.push_back(ToBytes(response));
      } else if (request.has_attach()) {
        v1::Attached& attached = *response.add_attached();
        attached.set_binding(request.attach().binding());
        attached.mutable_status()->set_code(apache::rocketmq::v2::OK);
        attached.set_queues(1);
        control_.push_back(ToBytes(response));
        attached_ = true;
      } else {
        credit_ += static_cast<int64_t>(request.credit_bytes());
      }
      Send();
    }
    StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (ok) Send();
  }

  void OnDone() override { delete this; }

 private:
  void Send() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!control_.empty()) {
      sending_ = control_.front();
      control_.pop_front();
    } else if (attached_ && credit_ > 0) {
      sending_ = frame_;
      credit_ -= static_cast<int64_t>(frame_.Length());
    } else {
      return;
    }
    writing_ = true;
    StartWrite(&sending_);
  }

  Mutex mutex_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer frame_;
  grpc::ByteBuffer sending_;
  std::deque<grpc::ByteBuffer> control_ ABSL_GUARDED_BY(mutex_);
  int64_t credit_ ABSL_GUARDED_BY(mutex_) = 0;
  bool attached_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class Service final
    : public v1::StreamService::WithRawCallbackMethod_Publish<
          v1::StreamService::WithRawCallbackMethod_Subscribe<v1::StreamService::Service>> {
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Publish(
      grpc::CallbackServerContext* /*context*/) override {
    return new class Publish();
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Subscribe(
      grpc::CallbackServerContext* /*context*/) override {
    return new class Subscribe();
  }
};

int Run(const char* address) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 * kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return EXIT_FAILURE;
  server->Wait();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) { return dunlin::Run(argc > 1 ? argv[1] : "127.0.0.1:8181"); }
