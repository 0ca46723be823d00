#include "e2e/harness/history.h"

#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

#include "services/base/check.h"

namespace dunlin::e2e {

namespace {

constexpr int kNamedAtMost = 5;

std::string Name(Identity identity) {
  return fmt::format("producer {} sequence {}", identity.producer, identity.sequence);
}

}  // namespace

Identity History::Send(uint32_t producer) {
  std::vector<int64_t>& offsets = producers_[producer].offsets;
  offsets.push_back(kUnacknowledged);
  sent_.fetch_add(1, std::memory_order_relaxed);
  return {producer, static_cast<uint32_t>(offsets.size() - 1)};
}

void History::Acknowledge(Identity identity, int64_t queue_offset) {
  CHECK(queue_offset >= 0);
  int64_t& offset = producers_[identity.producer].offsets[identity.sequence];
  if (offset == kUnacknowledged) acknowledged_.fetch_add(1, std::memory_order_relaxed);
  offset = queue_offset;
}

absl::Status History::Persist(const std::string& file) {
  FILE* stream = std::fopen(file.c_str(), "a");
  if (stream == nullptr) {
    return absl::UnavailableError(fmt::format("{}: {}", file, strerror(errno)));
  }
  for (size_t number = 0; number < producers_.size(); ++number) {
    Producer& producer = producers_[number];
    for (; producer.persisted < producer.offsets.size(); ++producer.persisted) {
      const int64_t offset = producer.offsets[producer.persisted];
      if (offset != kUnacknowledged) {
        std::fprintf(stream, "%zu %zu %lld\n", number, producer.persisted,
                     static_cast<long long>(offset));
      }
    }
  }
  const bool ok = std::fflush(stream) == 0 && fsync(fileno(stream)) == 0;
  const int error = errno;
  std::fclose(stream);
  if (!ok) return absl::UnavailableError(fmt::format("{}: {}", file, strerror(error)));
  return absl::OkStatus();
}

absl::Status HistoryCheck::Read(uint32_t queue_id, int64_t queue_offset,
                                const std::string& message_id, const std::string& body) {
  Queue& queue = queues_[queue_id];
  const std::string place = fmt::format("queue {} offset {}", queue_id, queue_offset);
  if (queue_offset != queue.next) {
    return absl::DataLossError(
        fmt::format("offsets are not dense: {} where {} is next", place, queue.next));
  }
  const std::optional<Identity> identity = ReadPayload(body);
  if (!identity.has_value()) {
    return absl::DataLossError(
        fmt::format("{}: bytes that nobody sent (id {})", place, message_id));
  }
  if (identity->producer >= history_.producers_.size() ||
      identity->sequence >= history_.producers_[identity->producer].offsets.size()) {
    return absl::DataLossError(fmt::format("{}: never sent: {}", place, Name(*identity)));
  }
  if (ids_ == Ids::kOfSenders && message_id != MessageIdOf(*identity)) {
    return absl::DataLossError(
        fmt::format("{}: {} under the id {}", place, Name(*identity), message_id));
  }
  const int64_t told = history_.producers_[identity->producer].offsets[identity->sequence];
  if (told != History::kUnacknowledged && told != queue_offset) {
    return absl::DataLossError(
        fmt::format("{}: {} was acknowledged with offset {}", place, Name(*identity), told));
  }
  std::vector<bool>& seen = seen_[identity->producer];
  if (seen.size() <= identity->sequence) seen.resize(identity->sequence + 1);
  if (seen[identity->sequence]) {
    return absl::DataLossError(fmt::format("{}: {} a second time", place, Name(*identity)));
  }
  seen[identity->sequence] = true;
  queue.last_sequence.resize(history_.producers_.size(), -1);
  int64_t& last = queue.last_sequence[identity->producer];
  if (last >= static_cast<int64_t>(identity->sequence)) {
    return absl::DataLossError(
        fmt::format("{}: {} stands behind sequence {}", place, Name(*identity), last));
  }
  last = identity->sequence;
  queue.contents.push_back(*identity);
  ++queue.next;
  return absl::OkStatus();
}

uint64_t HistoryCheck::read() const {
  uint64_t sum = 0;
  for (const Queue& queue : queues_) sum += queue.contents.size();
  return sum;
}

uint64_t HistoryCheck::Missing() const {
  uint64_t missing = 0;
  for (size_t producer = 0; producer < seen_.size(); ++producer) {
    const std::vector<int64_t>& offsets = history_.producers_[producer].offsets;
    for (size_t sequence = 0; sequence < offsets.size(); ++sequence) {
      const bool was_seen = sequence < seen_[producer].size() && seen_[producer][sequence];
      if (offsets[sequence] != History::kUnacknowledged && !was_seen) ++missing;
    }
  }
  return missing;
}

absl::Status HistoryCheck::CheckNothingMissing() const {
  std::string named;
  int count = 0;
  for (uint32_t producer = 0; producer < seen_.size(); ++producer) {
    const std::vector<int64_t>& offsets = history_.producers_[producer].offsets;
    for (uint32_t sequence = 0; sequence < offsets.size() && count < kNamedAtMost; ++sequence) {
      const bool was_seen = sequence < seen_[producer].size() && seen_[producer][sequence];
      if (offsets[sequence] == History::kUnacknowledged || was_seen) continue;
      named += fmt::format("; {} offset {}", Name({producer, sequence}), offsets[sequence]);
      ++count;
    }
  }
  if (count == 0) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("{} acknowledged messages are not there{}", Missing(), named));
}

absl::Status HistoryCheck::CheckAgreesWith(const HistoryCheck& later) const {
  for (size_t number = 0; number < queues_.size(); ++number) {
    const std::vector<Identity>& before = queues_[number].contents;
    const std::vector<Identity>& after = later.queues_[number].contents;
    if (after.size() < before.size()) {
      return absl::DataLossError(fmt::format("queue {} had {} messages and now has {}", number,
                                             before.size(), after.size()));
    }
    for (size_t offset = 0; offset < before.size(); ++offset) {
      if (before[offset] == after[offset]) continue;
      return absl::DataLossError(fmt::format("queue {} offset {} was {} and is now {}", number,
                                             offset, Name(before[offset]), Name(after[offset])));
    }
  }
  return absl::OkStatus();
}

}  // namespace dunlin::e2e
