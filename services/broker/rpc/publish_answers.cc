#include "services/broker/rpc/publish_answers.h"

#include <algorithm>
#include <utility>

#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

// Of one element within its response: tag and length.
constexpr size_t kFraming = 8;

// Moves as many of the first as there is room for.
template <typename Elements>
void MoveFirst(Elements& from, Elements& to, size_t& room) {
  int moved = 0;
  for (; moved < from.size() && room > 0; ++moved) {
    auto& element = from[moved];
    room -= std::min(room, element.ByteSizeLong() + kFraming);
    *to.Add() = std::move(element);
  }
  from.DeleteSubrange(0, moved);
}

}  // namespace

v1::Bound& PublishAnswers::AddBound(uint32_t binding, const absl::Status& status) {
  v1::Bound& bound = *unsent_.add_bound();
  bound.set_binding(binding);
  *bound.mutable_status() = ToWire(status);
  return bound;
}

void PublishAnswers::AddAck(uint32_t binding, uint64_t first_sequence, uint64_t count,
                            int64_t first_offset) {
  if (unsent_.acks_size() > 0) {
    v1::PublishAck& last = *unsent_.mutable_acks(unsent_.acks_size() - 1);
    if (last.binding() == binding && last.first_sequence() + last.count() == first_sequence &&
        last.first_offset() >= 0 && last.first_offset() + last.count() == first_offset &&
        last.count() + count <= UINT32_MAX) {
      last.set_count(static_cast<uint32_t>(last.count() + count));
      return;
    }
  }
  v1::PublishAck& ack = *unsent_.add_acks();
  ack.set_binding(binding);
  ack.set_first_sequence(first_sequence);
  ack.set_count(static_cast<uint32_t>(count));
  ack.set_first_offset(first_offset);
}

void PublishAnswers::AddError(const absl::Status& status, uint32_t binding, uint64_t first_sequence,
                              uint64_t count) {
  v1::PublishError& error = *unsent_.add_errors();
  error.set_binding(binding);
  error.set_first_sequence(first_sequence);
  error.set_count(static_cast<uint32_t>(count));
  *error.mutable_status() = ToWire(status);
  if (error.status().code() == apache::rocketmq::v2::TOO_MANY_REQUESTS) {
    error.set_retry_after_ms(static_cast<uint32_t>(RetryAfterOf(status).count()));
  }
}

v1::PublishResponse PublishAnswers::Take() {
  v1::PublishResponse taken;
  if (unsent_.ByteSizeLong() <= kResponseBytes) {
    taken.Swap(&unsent_);
    return taken;
  }
  if (unsent_.has_opened()) {  // alone
    taken.mutable_opened()->Swap(unsent_.mutable_opened());
    unsent_.clear_opened();
    return taken;
  }
  size_t room = kResponseBytes;
  MoveFirst(*unsent_.mutable_bound(), *taken.mutable_bound(), room);
  MoveFirst(*unsent_.mutable_errors(), *taken.mutable_errors(), room);
  MoveFirst(*unsent_.mutable_acks(), *taken.mutable_acks(), room);
  return taken;
}

}  // namespace dunlin::broker
