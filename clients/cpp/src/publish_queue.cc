#include "clients/cpp/src/publish_queue.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <utility>

namespace dunlin::internal {
namespace {

constexpr size_t kSmallestBuffer = 1024;
constexpr uint32_t kMostMessages = 65536;  // of a frame, by the contract

// Writes the header of a PublishRequest{frame} so that it ends at `end`; where it begins.
char* PutHeader(char* end, uint32_t binding, uint64_t first, size_t messages) {
  char fields[2 * (1 + kMaxVarint)];
  char* at = fields;
  *at++ = 0x08;  // PublishFrame.binding
  at = PutVarint(at, binding);
  *at++ = 0x10;  // PublishFrame.first_sequence
  at = PutVarint(at, first);
  const auto length = static_cast<size_t>(at - fields);
  char* to = end - length;
  std::memcpy(to, fields, length);
  to -= VarintSize(length + messages);
  PutVarint(to, length + messages);
  *--to = 0x1a;  // PublishRequest.frame
  return to;
}

}  // namespace

PublishQueue::PublishQueue(std::string_view topic, uint32_t queue, uint32_t binding,
                           const Limits& limits, std::shared_ptr<BufferPool> pool)
    : topic_(topic), queue_(queue), binding_(binding), limits_(limits), pool_(std::move(pool)) {}

PublishQueue::Batch& PublishQueue::OpenBatch(size_t bytes, bool& filled) {
  if (!batches_.empty() && !batches_.back()->sealed) {
    Batch& last = *batches_.back();
    const bool fits = last.buffer->size() + bytes <= limits_.max_batch_bytes;
    if (fits && last.count < kMostMessages) return last;
    last.sealed = true;
    last.full = true;
    last_batch_bytes_ = last.buffer->size();
    filled = true;
  }
  auto batch = std::make_unique<Batch>();
  const size_t guess = std::clamp(last_batch_bytes_, kSmallestBuffer, limits_.max_batch_bytes);
  batch->buffer = std::make_shared<FrameBuffer>(pool_, std::max(guess, kHeaderRoom + bytes));
  batch->buffer->set_size(kHeaderRoom);
  batch->first = sequence_;
  batch->begun = steady_clock::now();
  batches_.push_back(std::move(batch));
  return *batches_.back();
}

bool PublishQueue::Append(const MessageEncoder& message, Producer::Callback* callback) {
  const size_t bytes = message.size();
  bool filled = false;
  Batch& batch = OpenBatch(bytes, filled);
  FrameBuffer& buffer = *batch.buffer;
  buffer.Reserve(bytes);
  message.Write(buffer.data() + buffer.size());
  buffer.set_size(buffer.size() + bytes);
  if (callback != nullptr) {
    batch.callbacks.resize(batch.count);
    batch.callbacks.push_back(std::move(*callback));
  }
  batch.is_pinned |= message.ChoosesQueue();
  ++batch.count;
  ++sequence_;
  return filled;
}

void PublishQueue::Frame(Batch& batch) {
  batch.sealed = true;
  if (batch.frame_begin != 0) return;
  char* const data = batch.buffer->data();
  char* const begin =
      PutHeader(data + kHeaderRoom, binding_, batch.first, batch.buffer->size() - kHeaderRoom);
  batch.frame_begin = static_cast<size_t>(begin - data);
}

std::shared_ptr<FrameBuffer> PublishQueue::CopyFrom(const Batch& batch, uint64_t first) const {
  const char* at = batch.buffer->data() + kHeaderRoom;
  const char* const end = batch.buffer->data() + batch.buffer->size();
  for (uint64_t skipped = batch.first; skipped < first; ++skipped) {
    uint64_t length = 0;
    ++at;  // the tag
    GetVarint(at, end, length);
    at += length;
  }
  const auto messages = static_cast<size_t>(end - at);
  auto copy = std::make_shared<FrameBuffer>(pool_, kHeaderRoom + messages);
  std::memcpy(copy->data() + kHeaderRoom, at, messages);
  copy->set_size(kHeaderRoom + messages);
  return copy;
}

grpc::Slice PublishQueue::FrameFrom(const Batch& batch, uint64_t first) const {
  const std::shared_ptr<FrameBuffer> copy = CopyFrom(batch, first);
  const char* begin =
      PutHeader(copy->data() + kHeaderRoom, binding_, first, copy->size() - kHeaderRoom);
  return FrameBuffer::Share(copy, static_cast<size_t>(begin - copy->data()));
}

std::vector<std::unique_ptr<PublishBatch>> PublishQueue::TakeUnsent() {
  const auto first = std::find_if(batches_.begin(), batches_.end(),
                                  [](const auto& batch) { return !batch->was_sent; });
  std::vector<std::unique_ptr<Batch>> taken(std::make_move_iterator(first),
                                            std::make_move_iterator(batches_.end()));
  batches_.erase(first, batches_.end());
  if (!taken.empty()) sequence_ = taken.front()->first;
  return taken;
}

std::vector<std::unique_ptr<PublishBatch>> PublishQueue::TakeAll() {
  std::vector<std::unique_ptr<Batch>> taken;
  taken.swap(batches_);
  if (taken.empty()) return taken;
  Batch& front = *taken.front();
  if (answered_ > front.first) {
    const auto skip = static_cast<uint32_t>(answered_ - front.first);
    const std::shared_ptr<FrameBuffer> rest = CopyFrom(front, answered_);
    front.dropped_bytes += front.buffer->size() - rest->size();
    front.buffer = rest;
    front.frame_begin = 0;
    front.first = answered_;
    front.count -= skip;
    const size_t gone = std::min<size_t>(skip, front.callbacks.size());
    front.callbacks.erase(front.callbacks.begin(),
                          front.callbacks.begin() + static_cast<ptrdiff_t>(gone));
  }
  // Sequences that were sent are not given again: the broker may hold messages of them.
  answered_ = send_from_ = sequence_;
  refusals_.clear();
  return taken;
}

void PublishQueue::Adopt(std::unique_ptr<Batch> batch) {
  if (!batches_.empty()) batches_.back()->sealed = true;
  // gRPC may still hold the buffer with its old header.
  if (batch->frame_begin != 0) batch->buffer = CopyFrom(*batch, batch->first);
  batch->first = sequence_;
  batch->frame_begin = 0;
  batch->sent_bytes = 0;
  batch->was_sent = false;
  batch->sealed = true;
  sequence_ += batch->count;
  batches_.push_back(std::move(batch));
}

bool PublishQueue::HasPinned() const {
  return std::any_of(batches_.begin(), batches_.end(),
                     [](const auto& batch) { return batch->is_pinned; });
}

grpc::Slice PublishQueue::TakeFrame(SteadyTime now) {
  Batch& batch = *batches_[in_flight_];
  if (!batch.sealed) last_batch_bytes_ = batch.buffer->size();
  Frame(batch);
  grpc::Slice slice = send_from_ > batch.first
                          ? FrameFrom(batch, send_from_)
                          : FrameBuffer::Share(batch.buffer, batch.frame_begin);
  batch.sent = now;
  batch.was_sent = true;
  batch.sent_bytes = slice.size();
  in_flight_bytes_ += slice.size();
  send_from_ = batch.end();
  ++in_flight_;
  return slice;
}

void PublishQueue::OnBound(uint64_t last_sequence, uint32_t topic_id, Outcomes& outcomes) {
  topic_id_ = topic_id;
  bound_ = true;
  paused_ = false;
  // What the broker has and never answered is stored; where, it does not say.
  if (last_sequence >= answered_) Resolve(last_sequence + 1, -1, absl::OkStatus(), outcomes);
  // What is behind it is sent again, and answered again.
  refusals_.clear();
}

void PublishQueue::OnUnbound() {
  bound_ = false;
  Rewind(0);
  send_from_ = answered_;
}

void PublishQueue::OnAck(uint64_t first, uint32_t count, int64_t offset, Outcomes& outcomes) {
  if (first + count <= answered_) return;  // of something sent twice
  refusals_in_a_row_ = 0;
  if (first > answered_) {
    Resolve(first, -1, absl::OkStatus(), outcomes);
  } else if (offset >= 0) {
    offset += static_cast<int64_t>(answered_ - first);
  }
  Resolve(first + count, offset, absl::OkStatus(), outcomes);
}

void PublishQueue::OnRefused(uint64_t first, uint32_t count, const absl::Status& status,
                             Outcomes& outcomes) {
  const uint64_t end = first + count;
  if (end <= answered_) return;
  // Most come in order. One that is known was sent twice.
  refusals_.try_emplace(refusals_.end(), first, Refusal{end, status});
  ResolveRefusals(outcomes);
}

void PublishQueue::ResolveRefusals(Outcomes& outcomes) {
  while (!refusals_.empty() && refusals_.begin()->first <= answered_) {
    const Refusal refusal = std::move(refusals_.begin()->second);
    refusals_.erase(refusals_.begin());
    const uint64_t end = std::min(refusal.end, sequence_);
    while (answered_ < end && !batches_.empty()) {
      Emit(*batches_.front(), std::min(end, batches_.front()->end()), -1, refusal.status, outcomes);
    }
  }
}

void PublishQueue::Resolve(uint64_t end, int64_t offset, const absl::Status& status,
                           Outcomes& outcomes) {
  end = std::min(end, sequence_);
  while (answered_ < end) {
    uint64_t stop = std::min(end, batches_.front()->end());
    if (!refusals_.empty()) stop = std::min(stop, refusals_.begin()->first);
    const uint64_t begin = answered_;
    Emit(*batches_.front(), stop, offset, status, outcomes);
    if (offset >= 0) offset += static_cast<int64_t>(stop - begin);
    ResolveRefusals(outcomes);
  }
}

void PublishQueue::Emit(Batch& batch, uint64_t end, int64_t offset, const absl::Status& status,
                        Outcomes& outcomes) {
  Outcome& outcome = outcomes.emplace_back();
  DeliveryReport& report = outcome.report;
  report.topic = topic_;
  report.broker = broker_;
  report.queue = queue_;
  report.topic_id = topic_id_;
  report.first_sequence = answered_;
  report.count = static_cast<uint32_t>(end - answered_);
  report.first_offset = offset;
  report.begun = batch.begun;
  report.status = status;
  const auto skip = static_cast<size_t>(answered_ - batch.first);
  if (batch.callbacks.size() > skip) {
    const size_t stop = std::min<size_t>(batch.callbacks.size(), end - batch.first);
    outcome.callbacks.assign(std::make_move_iterator(batch.callbacks.begin() + skip),
                             std::make_move_iterator(batch.callbacks.begin() + stop));
  }
  answered_ = end;
  send_from_ = std::max(send_from_, end);
  if (end < batch.end()) return;
  outcome.bytes = batch.buffer->size() - kHeaderRoom + batch.dropped_bytes;
  if (in_flight_ > 0) {
    latency_ = steady_clock::now() - batch.sent;
    in_flight_bytes_ -= batch.sent_bytes;
    --in_flight_;
  }
  batches_.erase(batches_.begin());
}

void PublishQueue::Rewind(size_t index) {
  for (; in_flight_ > index; --in_flight_) {
    Batch& batch = *batches_[in_flight_ - 1];
    in_flight_bytes_ -= batch.sent_bytes;
    batch.sent_bytes = 0;
  }
}

void PublishQueue::SendAgain(uint64_t first, SteadyTime when) {
  first = std::max(first, answered_);
  if (first >= send_from_) return;
  ++refusals_in_a_row_;
  const auto holds = std::find_if(batches_.begin(), batches_.end(),
                                  [first](const auto& batch) { return batch->end() > first; });
  Rewind(static_cast<size_t>(holds - batches_.begin()));
  send_from_ = first;
  refusals_.erase(refusals_.lower_bound(first), refusals_.end());  // they are answered again
  paused_ = true;
  paused_until_ = when;
}

void PublishQueue::SealOlderThan(SteadyTime before) {
  if (batches_.empty() || batches_.back()->begun >= before) return;
  batches_.back()->sealed = true;
}

bool PublishQueue::FailOlderThan(SteadyTime before, const absl::Status& status,
                                 Outcomes& outcomes) {
  bool failed = false;
  while (!batches_.empty() && batches_.front()->begun < before) {
    Resolve(batches_.front()->end(), -1, status, outcomes);
    failed = true;
  }
  return failed;
}

void PublishQueue::FailAll(const absl::Status& status, Outcomes& outcomes) {
  Resolve(sequence_, -1, status, outcomes);
}

}  // namespace dunlin::internal
