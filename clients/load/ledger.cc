#include "clients/load/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace dunlin::load {
namespace {

uint64_t Load64(const char* from) {
  uint64_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

void Store64(char* to, uint64_t value) { std::memcpy(to, &value, sizeof(value)); }

// The words behind the head: every message begins elsewhere, no two words are alike, and none costs
// a multiplication, so that a reader that checks all of them is not what is measured.
class Filler {
 public:
  Filler(uint64_t run, uint64_t number) {
    uint64_t seed = (run ^ (number * 0xd1342543de82ef95)) + 0x9e3779b97f4a7c15;
    seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
    state_ = seed ^ (seed >> 31);
  }
  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    return state_ ^ (state_ >> 29);
  }

 private:
  uint64_t state_;
};

}  // namespace

void WriteBody(uint64_t run, uint64_t number, Clock::time_point due, char* body, size_t size) {
  Store64(body, run);
  Store64(body + 8, number);
  Store64(body + 16, static_cast<uint64_t>(due.time_since_epoch().count()));
  Filler filler(run, number);
  size_t at = kMinBody;
  for (; at + 8 <= size; at += 8) Store64(body + at, filler.Next());
  const uint64_t rest = filler.Next();
  std::memcpy(body + at, &rest, size - at);
}

absl::Status ReadBody(std::string_view bytes, Body& body) {
  if (bytes.size() < kMinBody) {
    return absl::DataLossError(fmt::format("a body of {} bytes is none of a load", bytes.size()));
  }
  body.run = Load64(bytes.data());
  body.number = Load64(bytes.data() + 8);
  body.due = Clock::time_point(Clock::duration(static_cast<int64_t>(Load64(bytes.data() + 16))));
  Filler filler(body.run, body.number);
  size_t at = kMinBody;
  uint64_t wrong = 0;
  for (; at + 8 <= bytes.size(); at += 8) wrong |= Load64(bytes.data() + at) ^ filler.Next();
  const uint64_t rest = filler.Next();
  if (wrong != 0 || std::memcmp(bytes.data() + at, &rest, bytes.size() - at) != 0) {
    return absl::DataLossError(fmt::format("message {} was changed on its way", body.number));
  }
  return absl::OkStatus();
}

uint64_t Outcomes::Count(Outcome outcome) const {
  return static_cast<uint64_t>(std::count(outcomes_.begin(), outcomes_.end(), outcome));
}

Ledger::Ledger(uint64_t run, uint64_t expected, bool ordered)
    : run_(run), expected_(expected), ordered_(ordered), seen_(expected), missing_(expected) {}

Ledger::Ledger(uint64_t run, const Outcomes& outcomes, bool ordered)
    : run_(run),
      expected_(outcomes.size()),
      outcomes_(&outcomes),
      ordered_(ordered),
      seen_(outcomes.size()),
      missing_(outcomes.Count(Outcomes::kStored)) {}

absl::Status Ledger::Enter(uint32_t queue, std::string_view bytes, Body& body) {
  body = Body();
  // Somebody else's. One of ours that was changed so much is missing in the end.
  if (bytes.size() < kMinBody || Load64(bytes.data()) != run_) return absl::OkStatus();
  if (absl::Status read = ReadBody(bytes, body); !read.ok()) return read;
  if (body.number >= expected_) {
    return absl::DataLossError(fmt::format("message {} was never sent", body.number));
  }
  if (seen_[body.number]) {
    return absl::DataLossError(fmt::format("message {} came twice", body.number));
  }
  const auto outcome = outcomes_ == nullptr ? Outcomes::kStored : outcomes_->Of(body.number);
  if (outcome == Outcomes::kNotStored) {
    return absl::DataLossError(
        fmt::format("message {} was refused, and is there all the same", body.number));
  }
  seen_[body.number] = true;
  ++received_;
  if (outcome == Outcomes::kStored) --missing_;
  if (!ordered_) return absl::OkStatus();
  if (queue >= last_.size()) last_.resize(queue + 1, -1);
  if (static_cast<int64_t>(body.number) < last_[queue]) {
    return absl::DataLossError(
        fmt::format("message {} came behind {} in queue {}", body.number, last_[queue], queue));
  }
  last_[queue] = static_cast<int64_t>(body.number);
  return absl::OkStatus();
}

absl::Status Ledger::CheckComplete() const {
  if (complete()) return absl::OkStatus();
  uint64_t first = 0;
  while (seen_[first] || (outcomes_ != nullptr && outcomes_->Of(first) != Outcomes::kStored)) {
    ++first;
  }
  return absl::DataLossError(fmt::format("{} of {} messages are missing, the first is message {}",
                                         missing_, missing_ + received_, first));
}

}  // namespace dunlin::load
