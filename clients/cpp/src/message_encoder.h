// MessageEncoder: an apache.rocketmq.v2.Message as one field of a PublishFrame, without protobuf.
//
// Fields in the order that the broker takes in most cheaply: user properties, body, system
// properties.

#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "dunlin/message.h"

#include "clients/cpp/src/wire.h"

namespace dunlin::internal {

class MessageEncoder {
 public:
  // `body` stands for message.body. Both must outlive the encoder.
  MessageEncoder(const Message& message, std::string_view body, bool compressed)
      : message_(message), body_(body), compressed_(compressed) {
    if (!message.tag.empty()) system_ += BytesFieldSize(message.tag.size());
    for (const std::string& key : message.keys) system_ += BytesFieldSize(key.size());
    if (compressed) system_ += 2;
    if (!message.message_group.empty()) system_ += 1 + BytesFieldSize(message.message_group.size());
    if (message.deliver_at.has_value()) {
      due_seconds_ = std::chrono::floor<std::chrono::seconds>(*message.deliver_at);
      due_nanos_ = static_cast<uint64_t>(
          std::chrono::nanoseconds(*message.deliver_at - due_seconds_).count());
      due_ = 2 + VarintSize(DueSeconds()) + VarintSize(due_nanos_);
      system_ += BytesFieldSize(due_);
    }
    if (message.priority.has_value()) system_ += 2 + VarintSize(Priority());
    length_ = BytesFieldSize(body.size());
    if (system_ > 0) length_ += BytesFieldSize(system_);
    for (const auto& [name, value] : message.properties) {
      length_ += BytesFieldSize(EntrySize(name, value));
    }
  }

  // Of the whole field, tag and length included.
  size_t size() const { return BytesFieldSize(length_); }

  // It belongs to one queue of one broker, and to no other.
  bool ChoosesQueue() const {
    return !message_.message_group.empty() || !message_.ordering_key.empty() ||
           message_.queue.has_value() || message_.priority.has_value();
  }

  // Writes size() bytes.
  char* Write(char* to) const {
    *to++ = kMessageTag;
    to = PutVarint(to, length_);
    for (const auto& [name, value] : message_.properties) {
      *to++ = 0x12;  // user_properties
      to = PutVarint(to, EntrySize(name, value));
      to = PutBytesField(to, 0x0a, name);
      to = PutBytesField(to, 0x12, value);
    }
    to = PutBytesField(to, 0x22, body_);
    if (system_ == 0) return to;
    *to++ = 0x1a;  // system_properties
    to = PutVarint(to, system_);
    if (!message_.tag.empty()) to = PutBytesField(to, 0x0a, message_.tag);
    for (const std::string& key : message_.keys) to = PutBytesField(to, 0x12, key);
    if (compressed_) {
      *to++ = 0x28;  // body_encoding
      *to++ = 2;     // GZIP
    }
    if (!message_.message_group.empty()) {
      *to++ = static_cast<char>(0x8a);  // message_group, the first byte of two
      to = PutBytesField(to, 0x01, message_.message_group);
    }
    if (due_ > 0) {
      *to++ = 0x5a;  // delivery_timestamp
      to = PutVarint(to, due_);
      *to++ = 0x08;  // seconds
      to = PutVarint(to, DueSeconds());
      *to++ = 0x10;  // nanos
      to = PutVarint(to, due_nanos_);
    }
    if (message_.priority.has_value()) {
      *to++ = static_cast<char>(0xb0);  // priority, the first byte of two
      *to++ = 0x01;
      to = PutVarint(to, Priority());
    }
    return to;
  }

  static constexpr char kMessageTag = 0x1a;  // PublishFrame.messages

 private:
  static size_t EntrySize(std::string_view name, std::string_view value) {
    return BytesFieldSize(name.size()) + BytesFieldSize(value.size());
  }

  uint64_t DueSeconds() const {
    return static_cast<uint64_t>(due_seconds_.time_since_epoch().count());
  }

  uint64_t Priority() const { return static_cast<uint64_t>(int64_t{*message_.priority}); }

  const Message& message_;
  const std::string_view body_;
  const bool compressed_;
  std::chrono::sys_seconds due_seconds_;
  uint64_t due_nanos_ = 0;
  size_t due_ = 0;  // of the delivery time, without tag and length
  size_t system_ = 0;
  size_t length_ = 0;
};

}  // namespace dunlin::internal
