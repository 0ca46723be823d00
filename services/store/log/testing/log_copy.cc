#include "services/store/log/testing/log_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "services/base/check.h"
#include "services/base/file.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr uint64_t kSegmentSize = 64u << 10;

}  // namespace

std::unique_ptr<CommitLog> OpenTestLog(const std::string& directory, const Clock& clock) {
  CommitLogOptions options;
  options.directory = directory;
  options.segment_size_bytes = kSegmentSize;
  auto log = CommitLog::Open(options, RealFiles(), clock);
  CHECK(log.ok(), log.status().ToString());
  return *std::move(log);
}

void AppendRandom(CommitLog& log, std::mt19937& random, int count, size_t max_payload) {
  for (int i = 0; i < count; ++i) {
    std::string payload(random() % (max_payload + 1), '\0');
    for (char& c : payload) c = static_cast<char>(random());
    const std::string_view piece = payload;
    NewRecord record;
    record.queue = {TopicId(1), static_cast<uint32_t>(random() % 4)};
    record.payload = {&piece, 1};
    const absl::Status appended = log.AppendAndWait(record).status();
    CHECK(appended.ok(), appended.ToString());
  }
}

absl::Status CopyPiece(RawReader& reader, LogMirror& mirror, size_t max_bytes) {
  ASSIGN_OR_RETURN(const RawReader::Piece piece,
                   reader.Read(mirror.end(), LogOffset(UINT64_MAX), max_bytes));
  if (mirror.epochs().last() != piece.epoch) {
    ASSIGN_OR_RETURN(Epochs epochs, reader.ReadEpochs());
    epochs.Prune(piece.begin);
    // Those without a record, too.
    for (const Epochs::Entry& entry : epochs.entries()) {
      if (entry.epoch <= mirror.epochs().last() || entry.epoch > piece.epoch) continue;
      RETURN_IF_ERROR(mirror.BeginEpoch(entry.epoch, entry.start));
    }
  }
  RETURN_IF_ERROR(mirror.Append({piece.begin, piece.segment_end, piece.epoch, piece.bytes}));
  CHECK(mirror.end() == piece.end, "the two ends disagree about where the next piece begins");
  return absl::OkStatus();
}

absl::Status CopyRest(RawReader& reader, LogMirror& mirror, std::mt19937& random) {
  for (;;) {
    const absl::Status copied = CopyPiece(reader, mirror, random() % 20'000);
    if (absl::IsOutOfRange(copied)) return absl::OkStatus();
    RETURN_IF_ERROR(copied);
  }
}

namespace {

LogOffset EndOf(const Epochs& epochs, Epoch epoch, LogOffset log_end) {
  for (const Epochs::Entry& entry : epochs.entries()) {
    if (entry.epoch > epoch) return entry.start;
  }
  return log_end;
}

}  // namespace

Epochs::Point CommonPoint(const Epochs& one, LogOffset one_end, const Epochs& other,
                          LogOffset other_end) {
  for (auto entry = one.entries().rbegin(); entry != one.entries().rend(); ++entry) {
    const auto same = std::find(other.entries().begin(), other.entries().end(), *entry);
    if (same == other.entries().end()) continue;
    return {entry->epoch,
            std::min(EndOf(one, entry->epoch, one_end), EndOf(other, entry->epoch, other_end))};
  }
  return {};
}

Epochs::Point PointAt(const Epochs& epochs, LogOffset end) {
  if (end == LogOffset(0)) return {};
  return {epochs.At(end - 1).value_or(Epoch(0)), end};
}

std::vector<std::string> ReadWhole(const std::string& directory, LogOffset limit) {
  auto reader = RawReader::Open(RealFiles(), directory);
  CHECK(reader.ok(), reader.status().ToString());
  std::vector<std::string> whole;
  LogOffset at = (*reader)->start();
  for (;;) {
    const auto piece = (*reader)->Read(at, limit, SIZE_MAX);
    if (absl::IsOutOfRange(piece.status())) return whole;
    if (!piece.ok()) {
      whole.push_back(piece.status().ToString());
      return whole;
    }
    whole.push_back(fmt::format("epoch {} from {} to {}, segment to {}: {}", piece->epoch.value(),
                                piece->begin.value(), piece->end.value(),
                                piece->segment_end.value(), piece->bytes));
    at = piece->end;
  }
}

std::string Difference(const std::vector<std::string>& is, const std::vector<std::string>& should) {
  auto name = [](const std::vector<std::string>& whole, size_t i) {
    return i < whole.size() ? whole[i].substr(0, whole[i].find(':')) : "nothing";
  };
  for (size_t i = 0; i < std::max(is.size(), should.size()); ++i) {
    if (i < is.size() && i < should.size() && is[i] == should[i]) continue;
    const bool same_name = name(is, i) == name(should, i);
    return fmt::format("is {}, should be {}{}", name(is, i), name(should, i),
                       same_name ? ", with other bytes" : "");
  }
  return "";
}

}  // namespace dunlin::store
