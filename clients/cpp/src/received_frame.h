// ReceivedFrame: the messages of one MessageFrame, in the bytes they came in.
//
// Made on gRPC's thread without looking at messages; Check then verifies them on the consumer's.
// Read-only afterwards, from any thread.

#pragma once

#include <grpcpp/support/slice.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dunlin/message.h"

#include "clients/cpp/src/ticker.h"

namespace dunlin::internal {

// What a binding stands for.
struct FrameSource {
  std::string topic;
  std::string broker;
  uint32_t topic_id = 0;
  uint32_t queue = 0;  // in offset mode
};

class ReceivedFrame {
 public:
  // `field`: a serialised MessageFrame within `response`. Null: it is malformed.
  static std::shared_ptr<ReceivedFrame> Parse(const grpc::Slice& response, std::string_view field);

  uint32_t binding() const { return binding_; }
  uint64_t next_offset() const { return next_offset_; }
  uint64_t max_offset() const { return max_offset_; }
  // The broker reads it from its disk.
  bool cold() const { return cold_; }
  // Of the whole response: what the broker's credit counts.
  size_t bytes() const { return response_.size(); }
  void set_source(std::shared_ptr<const FrameSource> source) { source_ = std::move(source); }
  // When the leases end that it came with.
  void set_leased_until(SteadyTime time) { leased_until_ = time; }
  SteadyTime leased_until() const { return leased_until_; }
  const FrameSource& source() const { return *source_; }

  // Finds the messages and verifies each. False: one is damaged; those before it are there. In a
  // group, whose messages do not depend on each other, damaged ones are left out instead.
  bool Check(bool skip_damaged, size_t max_body_bytes);
  // Ends the frame before `offset`.
  void EndAt(uint64_t offset) { next_offset_ = offset; }

  const std::vector<RecordRef>& records() const { return records_; }
  uint64_t lease(uint32_t index) const { return index < leases_.size() ? leases_[index] : 0; }
  uint32_t attempt(uint32_t index) const { return index < attempts_.size() ? attempts_[index] : 1; }

 private:
  explicit ReceivedFrame(const grpc::Slice& response) : response_(response) {}
  bool ParseField(std::string_view field);
  // False: it is damaged.
  bool CheckRecord(const char* record, uint32_t length, size_t max_body_bytes);

  const grpc::Slice response_;
  std::shared_ptr<const FrameSource> source_;
  uint32_t binding_ = 0;
  uint64_t next_offset_ = 0;
  uint64_t max_offset_ = 0;
  bool cold_ = false;
  SteadyTime leased_until_{};
  std::string_view bytes_;
  std::vector<uint64_t> leases_;
  std::vector<uint32_t> attempts_;
  std::vector<RecordRef> records_;
  std::deque<std::string> inflated_;
  uint32_t position_ = 0;  // of the record that is looked at
};

// The broker's names for a message of a group.
class MessageLease {
 public:
  explicit MessageLease(const MessageView& message) : frame_(*message.frame_), ref_(message.ref_) {}
  uint32_t binding() const { return frame_.binding(); }
  uint64_t lease() const { return frame_.lease(ref_.index); }
  SteadyTime leased_until() const { return frame_.leased_until(); }
  const RecordRef& ref() const { return ref_; }

 private:
  const ReceivedFrame& frame_;
  const RecordRef& ref_;
};

}  // namespace dunlin::internal
