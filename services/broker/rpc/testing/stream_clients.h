// The client's ends of the streams, one step at a time, for tests.

#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/bytes.h"
#include "services/base/crc32c.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

// A record of a frame, as a client reads it.
struct Record {
  uint32_t queue = 0;
  uint64_t offset = 0;
  v2::Message message;
};

inline std::vector<Record> ReadRecords(std::string_view bytes) {
  std::vector<Record> records;
  while (!bytes.empty()) {
    const auto length = LoadLittle<uint32_t>(bytes.data());
    EXPECT_EQ(Crc32c(bytes.substr(8, length - 8)), LoadLittle<uint32_t>(bytes.data() + 4));
    EXPECT_EQ(bytes[8], 1);
    Record record;
    record.queue = LoadLittle<uint32_t>(bytes.data() + 28);
    record.offset = LoadLittle<uint64_t>(bytes.data() + 32);
    EXPECT_TRUE(record.message.ParseFromString(std::string(bytes.substr(56, length - 56))));
    records.push_back(std::move(record));
    bytes.remove_prefix(RoundUp(length, 8));
  }
  return records;
}

// The client's end of one Publish stream.
class Publisher {
 public:
  Publisher(v1::StreamService::Stub& stub, uint64_t producer_id,
            std::unique_ptr<grpc::ClientContext> context)
      : context_(std::move(context)), stream_(stub.Publish(context_.get())) {
    v1::PublishRequest request;
    request.mutable_open()->set_producer_id(producer_id);
    stream_->Write(request);
    EXPECT_TRUE(Read().has_opened());
  }
  ~Publisher() {
    if (!finished_) EXPECT_TRUE(Finish().ok());
  }

  v1::PublishResponse Read() {
    v1::PublishResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  v1::Bound Bind(uint32_t binding, const std::string& topic, uint32_t queue,
                 uint64_t next_sequence = 0) {
    v1::PublishRequest request;
    request.mutable_bind()->set_binding(binding);
    request.mutable_bind()->mutable_topic()->set_name(topic);
    request.mutable_bind()->set_queue(queue);
    request.mutable_bind()->set_next_sequence(next_sequence);
    stream_->Write(request);
    const v1::PublishResponse response = Read();
    EXPECT_EQ(response.bound_size(), 1);
    return response.bound_size() == 1 ? response.bound(0) : v1::Bound();
  }
  static v1::PublishRequest Frame(uint32_t binding, uint64_t first_sequence,
                                  const std::vector<std::string>& bodies) {
    v1::PublishRequest request;
    request.mutable_frame()->set_binding(binding);
    request.mutable_frame()->set_first_sequence(first_sequence);
    for (const std::string& body : bodies) {
      v2::Message message;
      message.set_body(body);
      request.mutable_frame()->add_messages(message.SerializeAsString());
    }
    return request;
  }
  void Write(const v1::PublishRequest& request) { EXPECT_TRUE(stream_->Write(request)); }
  void Send(uint32_t binding, uint64_t first_sequence, const std::vector<std::string>& bodies) {
    Write(Frame(binding, first_sequence, bodies));
  }
  // The one answer to a frame.
  v1::PublishAck Ack() {
    const v1::PublishResponse response = Read();
    EXPECT_EQ(response.acks_size(), 1) << response.ShortDebugString();
    return response.acks_size() == 1 ? response.acks(0) : v1::PublishAck();
  }
  v1::PublishError Error() {
    const v1::PublishResponse response = Read();
    EXPECT_EQ(response.errors_size(), 1) << response.ShortDebugString();
    return response.errors_size() == 1 ? response.errors(0) : v1::PublishError();
  }
  grpc::Status Finish() {
    finished_ = true;
    stream_->WritesDone();
    v1::PublishResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::PublishRequest, v1::PublishResponse>> stream_;
  bool finished_ = false;
};

// The client's end of one Subscribe stream.
class Subscriber {
 public:
  Subscriber(v1::StreamService::Stub& stub, const std::string& group,
             std::unique_ptr<grpc::ClientContext> context, uint64_t credit = 1u << 20)
      : context_(std::move(context)), stream_(stub.Subscribe(context_.get())) {
    v1::SubscribeRequest request;
    request.mutable_open()->mutable_group()->set_name(group);
    request.mutable_open()->set_credit_bytes(credit);
    Write(request);
    EXPECT_TRUE(Read().has_opened());
  }
  ~Subscriber() {
    if (!finished_) Finish();
  }

  void Write(const v1::SubscribeRequest& request) { stream_->Write(request); }
  v1::SubscribeResponse Read() {
    v1::SubscribeResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  v1::Attached Attach(v1::SubscribeRequest request, const std::string& topic) {
    request.mutable_attach()->mutable_topic()->set_name(topic);
    Write(request);
    const v1::SubscribeResponse response = Read();
    EXPECT_EQ(response.attached_size(), 1) << response.ShortDebugString();
    return response.attached_size() == 1 ? response.attached(0) : v1::Attached();
  }
  v1::Attached AttachAt(const std::string& topic, uint32_t queue, uint64_t offset) {
    v1::SubscribeRequest request;
    request.mutable_attach()->set_binding(1);
    request.mutable_attach()->mutable_offset()->set_queue(queue);
    request.mutable_attach()->mutable_offset()->set_queue_offset(offset);
    return Attach(request, topic);
  }
  v1::Attached AttachGroup(const std::string& topic, uint32_t max_unsettled = 100,
                           uint32_t invisible_ms = 30'000) {
    v1::SubscribeRequest request;
    request.mutable_attach()->set_binding(1);
    request.mutable_attach()->mutable_group()->set_invisible_ms(invisible_ms);
    request.mutable_attach()->mutable_group()->set_max_unsettled(max_unsettled);
    return Attach(request, topic);
  }
  std::vector<std::string> Bodies(size_t count) {
    std::vector<std::string> bodies;
    while (bodies.size() < count) {
      last_ = Read();
      for (const Record& record : ReadRecords(last_.frame().records())) {
        bodies.push_back(record.message.body());
      }
      if (::testing::Test::HasFailure()) break;
    }
    return bodies;
  }
  const v1::SubscribeResponse& Last() const { return last_; }
  void Settle(uint32_t queue, uint64_t offset, uint64_t lease, v1::Verdict::Outcome outcome,
              uint32_t delay_ms = 0) {
    v1::SubscribeRequest request;
    request.mutable_settle()->set_binding(1);
    v1::Verdict& verdict = *request.mutable_settle()->add_verdicts();
    verdict.set_queue(queue);
    verdict.set_queue_offset(offset);
    verdict.set_lease(lease);
    verdict.set_outcome(outcome);
    verdict.set_delay_ms(delay_ms);
    Write(request);
  }
  grpc::Status Finish() {
    finished_ = true;
    stream_->WritesDone();
    v1::SubscribeResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>>
      stream_;
  v1::SubscribeResponse last_;
  bool finished_ = false;
};

}  // namespace dunlin::broker
