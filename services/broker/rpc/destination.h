// Destination: which broker a single request about messages belongs to, as far as it says so
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
Destination DestinationOf(const apache::rocketmq::v2::UpdateOffsetRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::GetOffsetRequest& request);
Destination DestinationOf(const apache::rocketmq::v2::QueryOffsetRequest& request);

// For who has the request as bytes. Errors: what Parse and CheckRequestSize say.
using DestinationReader = absl::StatusOr<Destination> (*)(const grpc::ByteBuffer& request);

// Of a method of apache.rocketmq.v2.MessagingService, by its name; null: its requests are not
// passed on.
DestinationReader FindDestinationReader(std::string_view method);

}  // namespace dunlin::broker
