#include "e2e/harness/history.h"

#include <fmt/format.h>

#include <cstring>

#include "services/base/check.h"

namespace dunlin::e2e {
namespace {

constexpr size_t kHeaderBytes = sizeof(uint64_t) * 2;

uint64_t SplitMix(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

absl::Status Broken(Place place, std::string_view what) {
  return absl::AbortedError(fmt::format("queue {} offset {}: {}", place.queue, place.offset, what));
}

}  // namespace

History::History(uint64_t seed, uint32_t producers, size_t body_size)
    : seed_(seed), body_size_(body_size), sent_(producers) {
  CHECK(body_size >= kHeaderBytes);
}

uint64_t History::acked() const {
  uint64_t acked = 0;
  for (const std::vector<Sent>& sent : sent_) {
    for (const Sent& message : sent) acked += message.acked ? 1 : 0;
  }
  return acked;
}

Sequence History::Send(uint32_t producer, std::string& body) {
  const Sequence sequence{.producer = producer, .number = sent_[producer].size()};
  sent_[producer].emplace_back();
  FillBody(sequence, body);
  return sequence;
}

void History::Acknowledge(Sequence sequence, uint64_t offset) {
  Sent& sent = sent_[sequence.producer][sequence.number];
  sent.acked = true;
  sent.offset = offset;
}

std::string History::Body(Sequence sequence) const {
  std::string body;
  FillBody(sequence, body);
  return body;
}

void History::FillBody(Sequence sequence, std::string& body) const {
  body.resize(body_size_);
  const uint64_t producer = sequence.producer;
  std::memcpy(body.data(), &producer, sizeof(producer));
  std::memcpy(body.data() + sizeof(producer), &sequence.number, sizeof(sequence.number));
  uint64_t state = seed_ ^ (producer << 40) ^ sequence.number;
  for (size_t at = kHeaderBytes; at < body_size_; at += sizeof(uint64_t)) {
    const uint64_t random = SplitMix(state);
    std::memcpy(body.data() + at, &random, std::min(sizeof(random), body_size_ - at));
  }
}

Reading::Reading(History& history) : history_(history), seen_(history.producers()) {}

Reading::Queue& Reading::At(uint32_t queue) {
  if (queue >= queues_.size()) queues_.resize(queue + 1);
  queues_[queue].next_number.resize(history_.producers());
  return queues_[queue];
}

uint64_t Reading::Next(uint32_t queue) { return At(queue).next; }

absl::Status Reading::Observe(Place place, std::string_view body) {
  Queue& queue = At(place.queue);
  if (place.offset != queue.next) {
    return Broken(place, fmt::format("offset {} was expected next", queue.next));
  }
  uint64_t producer = 0;
  Sequence sequence;
  if (body.size() >= kHeaderBytes) {
    std::memcpy(&producer, body.data(), sizeof(producer));
    std::memcpy(&sequence.number, body.data() + sizeof(producer), sizeof(sequence.number));
  }
  sequence.producer = static_cast<uint32_t>(producer);
  if (producer >= history_.sent_.size() || sequence.number >= history_.sent_[producer].size() ||
      body != history_.Body(sequence)) {
    return Broken(place, fmt::format("{} bytes that nobody sent", body.size()));
  }
  const std::string name = fmt::format("message {} of producer {}", sequence.number, producer);
  std::vector<bool>& seen = seen_[producer];
  seen.resize(history_.sent_[producer].size());
  if (seen[sequence.number]) return Broken(place, name + " is there twice");
  if (sequence.number < queue.next_number[producer]) {
    return Broken(
        place, fmt::format("{} stands behind message {}", name, queue.next_number[producer] - 1));
  }
  History::Sent& sent = history_.sent_[producer][sequence.number];
  if (sent.acked && sent.offset != place.offset) {
    return Broken(place, fmt::format("{} was promised at offset {}", name, sent.offset));
  }
  if (sent.placed && Place{sent.queue, sent.offset} != place) {
    return Broken(place, fmt::format("{} was in queue {} at offset {} before", name, sent.queue,
                                     sent.offset));
  }
  sent.placed = true;
  sent.queue = place.queue;
  sent.offset = place.offset;
  seen[sequence.number] = true;
  queue.next = place.offset + 1;
  queue.next_number[producer] = sequence.number + 1;
  ++observed_;
  return absl::OkStatus();
}

template <typename Missing>
void Reading::ForEachMissing(Missing missing) const {
  for (uint32_t producer = 0; producer < history_.producers(); ++producer) {
    const std::vector<History::Sent>& sent = history_.sent_[producer];
    for (uint64_t number = 0; number < sent.size(); ++number) {
      const bool seen = number < seen_[producer].size() && seen_[producer][number];
      const bool expected = sent[number].acked || sent[number].placed;
      if (expected && !seen && !missing(Sequence{producer, number})) return;
    }
  }
}

uint64_t Reading::Missing() const {
  uint64_t count = 0;
  ForEachMissing([&](Sequence) { return ++count, true; });
  return count;
}

absl::Status Reading::CheckComplete() const {
  absl::Status status;
  ForEachMissing([&](Sequence sequence) {
    const History::Sent& sent = history_.sent_[sequence.producer][sequence.number];
    status = absl::AbortedError(
        fmt::format("{} messages are lost, the first of them message {} of producer {}, {} at "
                    "offset {}",
                    Missing(), sequence.number, sequence.producer,
                    sent.acked ? "acknowledged" : "read before", sent.offset));
    return false;
  });
  return status;
}

}  // namespace dunlin::e2e
