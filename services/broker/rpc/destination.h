// Destination: which broker a request about messages belongs to, as far as it says so
// itself. Pure, thread-safe.

#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/wire/broker_mark.h"

namespace dunlin::broker {

struct Destination {
  apache::rocketmq::v2::Resource topic;
  std::string broker;         // by its name; empty: the request has none
  BrokerMark mark = kNoMark;  // of its name, where a handle has no more

  // Any broker that holds the topic may be meant.
  bool NamesNone() const { return broker.empty() && mark == kNoMark; }
  bool Means(std::string_view name) const {
    return broker.empty() ? mark == MarkOf(name) : broker == name;
  }
};

// What is wrong with a handle a broker says: it names none here.
Destination DestinationOf(const apache::rocketmq::v2::SendMessageRequest& request);
// Names none, too, when the handles are of several brokers.
Destination DestinationOf(const apache::rocketmq::v2::AckMessageRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::ChangeInvisibleDurationRequest& request);
Destination DestinationOf(
    const apache::rocketmq::v2::ForwardMessageToDeadLetterQueueRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::EndTransactionRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::RecallMessageRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::ReceiveMessageRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::PullMessageRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::UpdateOffsetRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::GetOffsetRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::QueryOffsetRequest& request);

// A method of apache.rocketmq.v2.MessagingService, for who has its requests as bytes.
struct PassedOnMethod {
  const char* name;
  // Errors: what Parse and CheckRequestSize say.
  absl::StatusOr<Destination> (*read)(const grpc::ByteBuffer& request);
  bool answers_by_stream = false;
};

// Null: requests of the method are not passed on.
const PassedOnMethod* FindPassedOnMethod(std::string_view name);

}  // namespace dunlin::broker
