#include "services/store/tool/dump_view.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/bytes.h"
#include "services/base/clock.h"
#include "services/base/strings.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/queue_chunks.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/state/database.h"
#include "services/store/state/producer_row.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

constexpr std::string_view kUndecodable = "undecodable";

template <typename Proto>
std::string Text(std::string_view value) {
  Proto proto;
  if (!proto.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return std::string(kUndecodable);
  }
  return proto.ShortDebugString();
}

std::string QueueText(std::string_view key) {
  const QueueKey queue = ToQueueKey(key);
  return fmt::format("{}/{}", queue.topic.value(), queue.queue);
}

std::string ChunkText(std::string_view key, std::string_view value) {
  const auto entries = DecodeChunk(value);
  if (key.size() != 16 || !entries.ok()) return std::string(kUndecodable);
  std::string text = fmt::format("chunk {} from {}:", QueueText(key),
                                 FromBigEndian64(key.substr(8)) * kChunkEntries);
  for (const IndexEntry& entry : *entries) {
    text += entry.length == 0 ? " -"
                              : fmt::format(" {}+{}#{:x}", entry.log_offset.value(), entry.length,
                                            entry.tag_hash);
  }
  return text;
}

std::string TailText(std::string_view key, std::string_view value) {
  const auto tail = DecodeTail(value);
  if (key.size() != 8 || !tail.ok()) return std::string(kUndecodable);
  return fmt::format("tail {} holds {} to {}, the first at {}", QueueText(key), tail->min.value(),
                     tail->next.value(), tail->min_log_offset.value());
}

std::string ProducerText(std::string_view key, std::string_view value) {
  const auto row = DecodeProducerRow(value);
  if (key.size() != 16 || !row.ok()) return std::string(kUndecodable);
  return fmt::format("producer {:016x} in {}: {} from sequence {} on at {}", FromBigEndian64(key),
                     QueueText(key.substr(8)), row->count, row->first_sequence,
                     row->log_offset.value());
}

std::string PointersText(std::string_view key, std::string_view value) {
  const auto pointers = DecodePointers(key, value);
  if (!pointers.ok()) return std::string(kUndecodable);
  std::string text;
  for (const Pointer& pointer : *pointers) {
    text += fmt::format("{}pointer to {} from {}", text.empty() ? "" : ", ", pointer.origin.value(),
                        pointer.delivery.value());
  }
  return text;
}

std::string TimerText(std::string_view key, std::string_view value) {
  const auto row = DecodeTimerRow(key, value);
  if (!row.ok()) return std::string(kUndecodable);
  const Timer& timer = row->timer;
  return fmt::format("timer due {} id {} at {} for {}/{}{}", ToUnixMillis(timer.key.due),
                     timer.key.id.value(), timer.place.value(), timer.queue.topic.value(),
                     timer.queue.queue, row->recalled ? " recalled" : "");
}

std::string TransactionText(std::string_view key, std::string_view value) {
  if (const auto check = DecodeCheckKey(key); check.ok()) {
    return fmt::format("check of transaction {} at {}", check->id.value(),
                       ToUnixMillis(check->due));
  }
  const auto row = DecodeTransactionRow(key, value);
  if (!row.ok()) return std::string(kUndecodable);
  if (row->state != TransactionState::kOpen) {
    return fmt::format("transaction {} at {} {}", row->id.value(), row->place.value(),
                       row->state == TransactionState::kCommitted ? "committed" : "rolled back");
  }
  return fmt::format("transaction {} at {} for {}/{}, {} checks, {}", row->id.value(),
                     row->place.value(), row->queue.topic.value(), row->queue.queue, row->checks,
                     row->next_check.has_value()
                         ? fmt::format("the next at {}", ToUnixMillis(*row->next_check))
                         : "parked");
}

// Dumps are shown to others: no secret.
std::string UserText(std::string_view value) {
  storage::v1::User user;
  if (!user.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return std::string(kUndecodable);
  }
  user.set_secret("(not shown)");
  return "user " + user.ShortDebugString();
}

std::string RowText(Family family, std::string_view key, std::string_view value) {
  switch (family) {
    case Family::kMeta:
      return fmt::format("{} {}", key, Text<storage::v1::Checkpoint>(value));
    case Family::kConfig:
      if (key.starts_with(kUserPrefix)) return UserText(value);
      if (key.starts_with(kLitePrefix)) return "lite topic " + Text<storage::v1::LiteTopic>(value);
      return key.starts_with(kTopicPrefix) ? "topic " + Text<storage::v1::Topic>(value)
                                           : "group " + Text<storage::v1::Group>(value);
    case Family::kProgress:
      return "progress " + Text<storage::v1::QueueProgress>(value);
    case Family::kTails:
      return TailText(key, value);
    case Family::kChunks:
      return ChunkText(key, value);
    case Family::kKeys:
      if (key.size() != 16) break;
      return fmt::format("key {:016x} at {}", FromBigEndian64(key), FromBigEndian64(key.substr(8)));
    case Family::kPointers:
      return PointersText(key, value);
    case Family::kTimers:
      return TimerText(key, value);
    case Family::kParked:
      if (key.size() != 8 || value.size() != 8) break;
      return fmt::format("parked in {}: {}", QueueText(key), LoadLittle<uint64_t>(value.data()));
    case Family::kProducers:
      return ProducerText(key, value);
    case Family::kTransactions:
      return TransactionText(key, value);
  }
  return std::string(kUndecodable);
}

int Complain(const absl::Status& status) {
  fmt::print(stderr, "dunlin-dump: {}\n", FromAbsl(status.message()));
  return 1;
}

}  // namespace

int DumpView(const std::string& store, bool verify) {
  const auto database = Database::OpenForReading(store + "/state");
  if (!database.ok()) return Complain(database.status());
  if (const absl::Status sound = (*database)->Verify(); !sound.ok()) return Complain(sound);
  uint64_t rows = 0;
  uint64_t undecodable = 0;
  for (size_t i = 0; i < kFamilies; ++i) {
    const auto family = static_cast<Family>(i);
    const absl::Status scanned =
        (*database)->Scan(family, "", [&](std::string_view key, std::string_view value) {
          const std::string text = RowText(family, key, value);
          const bool bad = text.ends_with(kUndecodable);
          ++rows;
          undecodable += bad ? 1 : 0;
          if (!verify || bad) fmt::print("{}\n", text);
          return true;
        });
    if (!scanned.ok()) return Complain(scanned);
  }
  fmt::print("{} rows, {} undecodable\n", rows, undecodable);
  return undecodable == 0 ? 0 : 1;
}

}  // namespace dunlin::store
