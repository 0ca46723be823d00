#include "services/broker/rpc/message_encoder.h"

#include <array>
#include <string>
#include <utility>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/wire/broker_mark.h"
#include "services/broker/wire/delivered_message.h"
#include "services/broker/wire/position_id.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// Below this copying is cheaper than keeping a segment pinned and a slice counted.
constexpr size_t kCopyBelow = 4096;

std::string OriginTopic(const ServiceContext& services, const Delivered& delivered) {
  const std::shared_ptr<const Topic> topic =
      services.topics.FindTopic(delivered.message.header().queue.topic);
  if (topic != nullptr) return topic->name;
  v2::Message message;
  const std::string_view payload = delivered.message.payload();
  message.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
  return message.topic().name();
}

ReceiptHandle WithMark(ReceiptHandle handle, BrokerMark broker) {
  handle.broker = broker;
  return handle;
}

}  // namespace

absl::StatusOr<grpc::ByteBuffer> EncodeDelivered(const ServiceContext& services,
                                                 const v2::Resource& topic,
                                                 const Delivered& delivered, bool lease) {
  const store::RecordHeader& header = delivered.message.header();
  const std::string handle =
      lease ? Encode(WithMark(delivered.handle, services.mark)) : std::string();
  const std::string origin =
      delivered.dead_letter ? OriginTopic(services, delivered) : std::string();
  Overlay overlay;
  overlay.topic_namespace = topic.resource_namespace();
  overlay.topic_name = topic.name();
  overlay.queue_id = static_cast<int32_t>(delivered.handle.queue.queue);
  overlay.queue_offset = static_cast<int64_t>(delivered.handle.offset.value());
  overlay.store_time = header.store_time;
  overlay.store_host = services.advertised_host;
  overlay.born_host = services.advertised_host;
  overlay.born_time = header.store_time;
  const std::string id = PositionId({header.queue, header.queue_offset});
  overlay.message_id = id;
  overlay.receipt_handle = handle;
  overlay.delivery_attempt = lease ? static_cast<int32_t>(delivered.handle.attempt) : 1;
  overlay.dead_letter_topic = origin;
  ASSIGN_OR_RETURN(const DeliveredMessage parts,
                   MakeDelivered(delivered.message.payload(), header.properties_offset, overlay));
  if (parts.middle.size() < kCopyBelow) {
    std::string whole;
    whole.reserve(parts.head.size() + parts.middle.size() + parts.tail.size());
    whole.append(parts.head).append(parts.middle).append(parts.tail);
    const grpc::Slice slice = CopiedSlice(whole);
    return grpc::ByteBuffer(&slice, 1);
  }
  const std::array<grpc::Slice, 3> slices = {CopiedSlice(parts.head),
                                             PinnedSlice(parts.middle, delivered.message.pin()),
                                             CopiedSlice(parts.tail)};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<v2::Message> ShowHalf(const ServiceContext& services, const v2::Resource& topic,
                                     const Delivered& half) {
  const store::RecordHeader& header = half.message.header();
  Overlay overlay;
  overlay.topic_namespace = topic.resource_namespace();
  overlay.topic_name = topic.name();
  overlay.queue_id = static_cast<int32_t>(header.queue.queue);
  overlay.queue_offset = -1;
  overlay.store_time = header.store_time;
  overlay.store_host = services.advertised_host;
  overlay.born_host = services.advertised_host;
  overlay.born_time = header.store_time;
  overlay.kind = MessageKind::kTransaction;
  ASSIGN_OR_RETURN(const DeliveredMessage parts,
                   MakeDelivered(half.message.payload(), header.properties_offset, overlay));
  std::string bytes = parts.head;
  bytes.append(parts.middle).append(parts.tail);
  v2::ReceiveMessageResponse response;
  if (!response.ParseFromString(bytes) || !response.has_message()) {
    return absl::DataLossError("a half message cannot be read as a message");
  }
  return std::move(*response.mutable_message());
}

}  // namespace dunlin::broker
