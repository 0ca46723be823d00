// Encodes a message for a consumer: slices of the log between a few bytes of our own.

#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// A serialised ReceiveMessageResponse, and as well a PullMessageResponse (the message is field 2 of
// both). `topic` is what the consumer called it. With `lease` the receipt handle is part of it.
// DATA_LOSS when what is stored cannot be read as a message.
absl::StatusOr<grpc::ByteBuffer> EncodeDelivered(const ServiceContext& services,
                                                 const apache::rocketmq::v2::Resource& topic,
                                                 const Delivered& delivered, bool lease);

// A half message as the question about its transaction shows it: whole, of kind TRANSACTION.
// DATA_LOSS as above.
absl::StatusOr<apache::rocketmq::v2::Message> ShowHalf(const ServiceContext& services,
                                                       const apache::rocketmq::v2::Resource& topic,
                                                       const Delivered& half);

}  // namespace dunlin::broker
