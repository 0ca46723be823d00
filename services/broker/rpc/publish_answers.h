// PublishAnswers: what a Publish stream has to tell its client and has not written yet.
//
// Collects while a write is under way. A response is bounded: one frame can be refused in 65,536
// ways, and a client takes 5 MiB. Not thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

#include "proto/dunlin/broker/v1/streams.pb.h"

namespace dunlin::broker {

class PublishAnswers {
 public:
  // About the most that one response holds.
  static constexpr size_t kResponseBytes = 1u << 20;

  v1::PublishOpened& Open() { return *unsent_.mutable_opened(); }
  // With the status on the wire; the rest is the caller's.
  v1::Bound& AddBound(uint32_t binding, const absl::Status& status);
  // Frames that follow each other are answered as one.
  void AddAck(uint32_t binding, uint64_t first_sequence, uint64_t count, int64_t first_offset);
  void AddError(const absl::Status& status, uint32_t binding, uint64_t first_sequence,
                uint64_t count);
  void AddError(const v1::PublishError& error) { *unsent_.add_errors() = error; }

  bool empty() const { return !unsent_.has_opened() && size() == 0; }
  int size() const { return unsent_.bound_size() + unsent_.acks_size() + unsent_.errors_size(); }
  void Clear() { unsent_.Clear(); }

  // The next response. Where all is too much for one: errors go ahead of acks, which come behind
  // what was refused before them.
  v1::PublishResponse Take();

 private:
  v1::PublishResponse unsent_;
};

}  // namespace dunlin::broker
