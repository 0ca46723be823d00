#include "dunlin/message.h"

#include <fmt/format.h>

#include "clients/cpp/src/received_frame.h"
#include "clients/cpp/src/record_header.h"
#include "clients/cpp/src/wire.h"

namespace dunlin {
namespace {

using internal::WireField;
using internal::WireReader;

constexpr uint32_t kUserProperties = 2;
constexpr uint32_t kSystemProperties = 3;
constexpr uint32_t kTag = 1;
constexpr uint32_t kKeys = 2;
constexpr uint32_t kMessageId = 3;
constexpr uint32_t kMessageGroup = 17;
constexpr uint32_t kPriority = 22;

std::string_view Payload(const char* record) {
  return {record + internal::kRecordHeaderSize,
          internal::RecordLength(record) - internal::kRecordHeaderSize};
}

// Calls `take` with every field `number` of `message`, or with its bytes.
template <typename Take>
void ForEachField(std::string_view message, uint32_t number, const Take& take) {
  WireReader reader(message);
  for (WireField field; reader.Next(field);) {
    if (field.number == number) take(field);
  }
}

template <typename Take>
void ForEach(std::string_view message, uint32_t number, const Take& take) {
  ForEachField(message, number, [&](const WireField& field) { take(field.bytes); });
}

// Calls `take` with the system properties of a record; more than once if they are in parts.
template <typename Take>
void ForSystemProperties(const char* record, const Take& take) {
  std::string_view payload = Payload(record);
  // The header says where they begin, so that the body need not be stepped over.
  const uint32_t offset = internal::RecordPropertiesOffset(record);
  if (offset <= payload.size()) payload.remove_prefix(offset);
  ForEach(payload, kSystemProperties, take);
}

template <typename Take>
void ForEachSystemProperty(const char* record, uint32_t number, const Take& take) {
  ForSystemProperties(record,
                      [&](std::string_view properties) { ForEach(properties, number, take); });
}

std::pair<std::string_view, std::string_view> Entry(std::string_view bytes) {
  std::pair<std::string_view, std::string_view> entry;
  ForEach(bytes, 1, [&](std::string_view name) { entry.first = name; });
  ForEach(bytes, 2, [&](std::string_view value) { entry.second = value; });
  return entry;
}

}  // namespace

std::string_view MessageView::topic() const { return frame_->source().topic; }
std::string_view MessageView::broker() const { return frame_->source().broker; }
uint32_t MessageView::queue() const { return internal::RecordQueue(ref_.record); }
uint64_t MessageView::offset() const { return internal::RecordOffset(ref_.record); }
uint32_t MessageView::attempt() const { return frame_->attempt(ref_.index); }

Timestamp MessageView::store_time() const {
  return Timestamp(std::chrono::milliseconds(internal::RecordStoreTimeMs(ref_.record)));
}

std::string MessageView::message_id() const {
  std::string id;
  ForEachSystemProperty(ref_.record, kMessageId, [&](std::string_view value) { id = value; });
  if (!id.empty()) return id;
  return fmt::format("{:08X}{:08X}{:016X}", frame_->source().topic_id, queue(), offset());
}

std::string_view MessageView::tag() const {
  std::string_view tag;
  ForEachSystemProperty(ref_.record, kTag, [&](std::string_view value) { tag = value; });
  return tag;
}

std::string_view MessageView::message_group() const {
  std::string_view group;
  ForEachSystemProperty(ref_.record, kMessageGroup, [&](std::string_view value) { group = value; });
  return group;
}

std::optional<int32_t> MessageView::priority() const {
  std::optional<int32_t> priority;
  ForSystemProperties(ref_.record, [&](std::string_view properties) {
    ForEachField(properties, kPriority,
                 [&](const WireField& field) { priority = static_cast<int32_t>(field.varint); });
  });
  return priority;
}

std::vector<std::string_view> MessageView::keys() const {
  std::vector<std::string_view> keys;
  ForEachSystemProperty(ref_.record, kKeys, [&](std::string_view key) { keys.push_back(key); });
  return keys;
}

std::vector<std::pair<std::string_view, std::string_view>> MessageView::properties() const {
  std::vector<std::pair<std::string_view, std::string_view>> properties;
  ForEach(Payload(ref_.record), kUserProperties,
          [&](std::string_view entry) { properties.push_back(Entry(entry)); });
  return properties;
}

std::optional<std::string_view> MessageView::property(std::string_view name) const {
  std::optional<std::string_view> found;
  ForEach(Payload(ref_.record), kUserProperties, [&](std::string_view bytes) {
    const auto entry = Entry(bytes);
    if (entry.first == name) found = entry.second;
  });
  return found;
}

MessageBatch::Iterator::Iterator(const internal::ReceivedFrame* frame, uint32_t index)
    : frame_(frame), index_(index) {
  if (frame_ != nullptr && index_ < frame_->records().size()) {
    view_ = MessageView(frame_, frame_->records()[index_]);
  }
}

MessageBatch::Iterator& MessageBatch::Iterator::operator++() {
  *this = Iterator(frame_, index_ + 1);
  return *this;
}

size_t MessageBatch::size() const { return frame_ == nullptr ? 0 : frame_->records().size(); }
std::string_view MessageBatch::topic() const { return frame_->source().topic; }
std::string_view MessageBatch::broker() const { return frame_->source().broker; }
uint32_t MessageBatch::queue() const { return frame_->source().queue; }
uint64_t MessageBatch::next_offset() const { return frame_->next_offset(); }
uint64_t MessageBatch::max_offset() const { return frame_->max_offset(); }

ReceivedMessage MessageBatch::Keep(const MessageView& message) const {
  return {frame_, internal::MessageLease(message).ref()};
}

}  // namespace dunlin
