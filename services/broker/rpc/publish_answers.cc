#include "services/broker/rpc/publish_answers.h"

#include <algorithm>
#include <utility>

#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

// About what an answer takes without the text of its status.
constexpr size_t kAnswerBytes = 48;

}  // namespace

v1::PublishResponse& PublishAnswers::Grow(size_t bytes) {
  if (last_bytes_ >= kResponseBytes) {
    full_.push_back(std::move(last_));
    last_.Clear();
    last_bytes_ = 0;
  }
  last_bytes_ += bytes;
  ++size_;
  return last_;
}

v1::Bound& PublishAnswers::AddBound(uint32_t binding, const absl::Status& status) {
  v1::Bound& bound = *Grow(kAnswerBytes + status.message().size()).add_bound();
  bound.set_binding(binding);
  *bound.mutable_status() = ToWire(status);
  return bound;
}

void PublishAnswers::AddAck(uint32_t binding, uint64_t first_sequence, uint64_t count,
                            int64_t first_offset) {
  if (last_.acks_size() > 0) {
    v1::PublishAck& last = *last_.mutable_acks(last_.acks_size() - 1);
    if (last.binding() == binding && last.first_sequence() + last.count() == first_sequence &&
        last.first_offset() >= 0 && last.first_offset() + last.count() == first_offset &&
        last.count() + count <= UINT32_MAX) {
      last.set_count(static_cast<uint32_t>(last.count() + count));
      return;
    }
  }
  v1::PublishAck& ack = *Grow(kAnswerBytes).add_acks();
  ack.set_binding(binding);
  ack.set_first_sequence(first_sequence);
  ack.set_count(static_cast<uint32_t>(count));
  ack.set_first_offset(first_offset);
}

void PublishAnswers::AddError(const absl::Status& status, uint32_t binding, uint64_t first_sequence,
                              uint64_t count) {
  v1::PublishError error;
  error.set_binding(binding);
  error.set_first_sequence(first_sequence);
  error.set_count(static_cast<uint32_t>(count));
  *error.mutable_status() = ToWire(status);
  if (error.status().code() == apache::rocketmq::v2::TOO_MANY_REQUESTS) {
    error.set_retry_after_ms(static_cast<uint32_t>(RetryAfterOf(status).count()));
  }
  AddError(std::move(error));
}

void PublishAnswers::AddError(v1::PublishError error) {
  *Grow(kAnswerBytes + error.status().message().size()).add_errors() = std::move(error);
}

v1::PublishResponse PublishAnswers::Take() {
  v1::PublishResponse taken;
  if (full_.empty()) {
    taken.Swap(&last_);
    last_bytes_ = 0;
  } else {
    taken = std::move(full_.front());
    full_.pop_front();
  }
  size_ -= static_cast<size_t>(taken.bound_size() + taken.acks_size() + taken.errors_size());
  return taken;
}

}  // namespace dunlin::broker
