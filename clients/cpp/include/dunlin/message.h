// Message: what an application sends. MessageView and ReceivedMessage: what it gets.
//
// All are values. A MessageView looks into a frame that somebody else holds (MessageBatch,
// ReceivedMessage); a ReceivedMessage holds its frame itself and may be kept as long as one likes.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dunlin {

using Timestamp = std::chrono::sys_time<std::chrono::milliseconds>;

struct Message {
  std::string topic;
  std::string body;
  // One word that consumers may filter by; empty: none.
  std::string tag;
  // What the message can be found by.
  std::vector<std::string> keys;
  std::vector<std::pair<std::string, std::string>> properties;
  // Messages with the same key go to the same queue, in the order they are sent. Empty: any queue.
  // The consumer does not see it.
  std::string ordering_key;
  // The queue it goes to, whatever the key; for those who keep to a scheme of their own. Not
  // together with message_group.
  std::optional<uint32_t> queue;
  // The broker of that queue; needed when several hold the topic.
  std::string broker;
  // Makes the message FIFO: consumer groups that consume in order get those of one message group
  // one after the other. It chooses the queue, whatever ordering_key says. At most 63 bytes; the
  // topic must take FIFO messages, and no other message.
  std::string message_group;
  // Not delivered before. Set on every message for a topic of kind DELAY, and only there; in the
  // past: at once. Such a message has no offset in its Receipt.
  std::optional<Timestamp> deliver_at;
  // The higher, the earlier it is delivered; 0 or more. It chooses the queue, whatever ordering_key
  // says: as many priorities count as the topic has queues, what is above shares the highest. The
  // topic must take PRIORITY messages.
  std::optional<int32_t> priority;
  // The lightweight topic of `topic` that it goes to, made when there is none. Sent by LiteProducer
  // alone.
  std::string lite_topic;
};

namespace internal {
class MessageLease;
class ReceivedFrame;
struct RecordRef {
  const char* record = nullptr;  // its header
  uint32_t index = 0;            // within the frame
  std::string_view body;         // decompressed
};
}  // namespace internal

class MessageView {
 public:
  MessageView() = default;
  MessageView(const internal::ReceivedFrame* frame, const internal::RecordRef& ref)
      : frame_(frame), ref_(ref) {}

  std::string_view topic() const;
  // As the producer gave it, decompressed.
  std::string_view body() const { return ref_.body; }
  // The name of the broker that holds the queue; empty when the server did not tell it.
  std::string_view broker() const;
  uint32_t queue() const;
  uint64_t offset() const;
  Timestamp store_time() const;
  // Deliveries of this message to the group, this one included; 1 outside a group.
  uint32_t attempt() const;
  // The producer's, or else 32 upper-case hexadecimal digits made of topic, queue and offset.
  std::string message_id() const;

  // Decoded at each call.
  std::string_view tag() const;
  std::string_view message_group() const;
  std::optional<int32_t> priority() const;
  std::vector<std::string_view> keys() const;
  std::vector<std::pair<std::string_view, std::string_view>> properties() const;
  std::optional<std::string_view> property(std::string_view name) const;

 protected:
  friend class internal::MessageLease;
  const internal::ReceivedFrame* frame_ = nullptr;
  internal::RecordRef ref_;
};

// A message that keeps its frame in memory (up to 256 KiB, or the message if that is larger).
class ReceivedMessage : public MessageView {
 public:
  ReceivedMessage() = default;
  ReceivedMessage(std::shared_ptr<const internal::ReceivedFrame> frame,
                  const internal::RecordRef& ref)
      : MessageView(frame.get(), ref), pin_(std::move(frame)) {}

 private:
  std::shared_ptr<const internal::ReceivedFrame> pin_;
};

// The messages of one queue that came in one frame, in order. Iterating copies nothing.
class MessageBatch {
 public:
  class Iterator {
   public:
    using value_type = MessageView;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const internal::ReceivedFrame* frame, uint32_t index);
    const MessageView& operator*() const { return view_; }
    const MessageView* operator->() const { return &view_; }
    Iterator& operator++();
    bool operator==(const Iterator& other) const { return index_ == other.index_; }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const internal::ReceivedFrame* frame_ = nullptr;
    uint32_t index_ = 0;
    MessageView view_;
  };

  MessageBatch() = default;
  explicit MessageBatch(std::shared_ptr<const internal::ReceivedFrame> frame)
      : frame_(std::move(frame)) {}

  bool empty() const { return size() == 0; }
  size_t size() const;
  std::string_view topic() const;
  std::string_view broker() const;
  uint32_t queue() const;
  // Where reading goes on behind this batch: what to commit once all of it is done.
  uint64_t next_offset() const;
  // The end of the queue when the batch was made; max_offset() - next_offset() is the lag.
  uint64_t max_offset() const;

  Iterator begin() const { return Iterator(frame_.get(), 0); }
  Iterator end() const { return Iterator(frame_.get(), static_cast<uint32_t>(size())); }
  // A message that may be kept beyond the batch. REQUIRES: `message` is of this batch.
  ReceivedMessage Keep(const MessageView& message) const;

 private:
  std::shared_ptr<const internal::ReceivedFrame> frame_;
};

}  // namespace dunlin
