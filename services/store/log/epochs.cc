#include "services/store/log/epochs.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// "DUNLINEP", then the number of entries u64, the entries {epoch u64, start u64}, CRC-32C u32 of
// everything before it.
constexpr std::string_view kMagic = "DUNLINEP";
constexpr size_t kEntrySize = 16;
constexpr size_t kFrameSize = 8 + 8 + 4;

}  // namespace

absl::StatusOr<Epochs> Epochs::Load(FileSystem& files, const std::string& path) {
  Epochs epochs;
  const absl::StatusOr<std::string> bytes = ReadWholeFile(files, path);
  if (absl::IsNotFound(bytes.status())) return epochs;
  RETURN_IF_ERROR(bytes.status());
  const absl::Status damaged = absl::DataLossError(fmt::format("{} is damaged", path));
  if (bytes->size() < kFrameSize || bytes->compare(0, kMagic.size(), kMagic) != 0) return damaged;
  const uint64_t count = LoadLittle<uint64_t>(bytes->data() + 8);
  if ((bytes->size() - kFrameSize) / kEntrySize != count ||
      (bytes->size() - kFrameSize) % kEntrySize != 0) {
    return damaged;
  }
  const size_t covered = bytes->size() - 4;
  if (Crc32c({bytes->data(), covered}) != LoadLittle<uint32_t>(bytes->data() + covered)) {
    return damaged;
  }
  for (uint64_t i = 0; i < count; ++i) {
    const char* at = bytes->data() + 16 + i * kEntrySize;
    const Entry entry{Epoch(static_cast<uint32_t>(LoadLittle<uint64_t>(at))),
                      LogOffset(LoadLittle<uint64_t>(at + 8))};
    if (i > 0 && (entry.epoch <= epochs.last() || entry.start < epochs.entries_.back().start)) {
      return damaged;
    }
    epochs.entries_.push_back(entry);
  }
  return epochs;
}

std::vector<Epochs::Entry>::const_iterator Epochs::FirstBehind(LogOffset offset) const {
  return std::upper_bound(
      entries_.begin(), entries_.end(), offset,
      [](LogOffset sought, const Entry& entry) { return sought < entry.start; });
}

std::optional<Epoch> Epochs::At(LogOffset offset) const {
  const auto after = FirstBehind(offset);
  if (after == entries_.begin()) return std::nullopt;
  return std::prev(after)->epoch;
}

LogOffset Epochs::EndAt(LogOffset offset) const {
  const auto after = FirstBehind(offset);
  return after == entries_.end() ? LogOffset(UINT64_MAX) : after->start;
}

void Epochs::CutAt(LogOffset end) {
  while (!entries_.empty() && entries_.back().start > end) entries_.pop_back();
}

void Epochs::DropEmpty(LogOffset end) {
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
}

void Epochs::TruncateTo(Point to) {
  while (!entries_.empty() && entries_.back().epoch > to.epoch) entries_.pop_back();
  CutAt(to.offset);
}

void Epochs::Begin(Epoch epoch, LogOffset start) {
  CutAt(start);
  CHECK(epoch > last());
  entries_.push_back({epoch, start});
}

void Epochs::Prune(LogOffset offset) {
  auto keep = entries_.begin();
  while (keep != entries_.end() && std::next(keep) != entries_.end() && keep->start < offset &&
         std::next(keep)->start <= offset) {
    ++keep;
  }
  entries_.erase(entries_.begin(), keep);
}

absl::Status Epochs::Save(FileSystem& files, const std::string& path) const {
  std::string bytes(kMagic);
  bytes.resize(16 + entries_.size() * kEntrySize + 4);
  StoreLittle(bytes.data() + 8, static_cast<uint64_t>(entries_.size()));
  char* to = bytes.data() + 16;
  for (const Entry& entry : entries_) {
    StoreLittle(to, static_cast<uint64_t>(entry.epoch.value()));
    StoreLittle(to + 8, entry.start.value());
    to += kEntrySize;
  }
  StoreLittle(to, Crc32c({bytes.data(), bytes.size() - 4}));
  return WriteFileDurably(files, path, bytes);
}

}  // namespace dunlin::store
