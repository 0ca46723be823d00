// PublishAnswers: what a Publish stream has to tell its client and has not written yet.
//
// Collects while a write is under way, in the order in which it happened. Responses are bounded:
// one frame can be refused in 65,536 ways, and a client takes 5 MiB. Not thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/status/status.h"

#include "proto/dunlin/broker/v1/streams.pb.h"

namespace dunlin::broker {

class PublishAnswers {
 public:
  // About the most that one response holds.
  static constexpr size_t kResponseBytes = 1u << 20;

  v1::PublishOpened& Open() { return *last_.mutable_opened(); }
  // With the status on the wire; the rest is the caller's.
  v1::Bound& AddBound(uint32_t binding, const absl::Status& status);
  // Frames that follow each other are answered as one.
  void AddAck(uint32_t binding, uint64_t first_sequence, uint64_t count, int64_t first_offset);
  void AddError(const absl::Status& status, uint32_t binding, uint64_t first_sequence,
                uint64_t count);
  void AddError(v1::PublishError error);

  bool empty() const { return size_ == 0 && !last_.has_opened(); }
  // Answers, whatever they hold.
  size_t size() const { return size_; }
  void Clear() { *this = PublishAnswers(); }

  // The next response. REQUIRES: !empty().
  v1::PublishResponse Take();

 private:
  // Where one more answer belongs.
  v1::PublishResponse& Grow(size_t bytes);

  std::deque<v1::PublishResponse> full_;  // go first
  v1::PublishResponse last_;
  size_t last_bytes_ = 0;
  size_t size_ = 0;
};

}  // namespace dunlin::broker
