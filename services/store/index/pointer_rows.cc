#include "services/store/index/pointer_rows.h"

#include <algorithm>

#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// More share no row: who looks for one decodes them all.
constexpr size_t kMostInRow = 2048;

void AppendVarint(uint64_t value, std::string& bytes) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
}

bool ReadVarint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

PointerRow EncodePointers(std::vector<Pointer>& pointers) {
  // The youngest first: its place is in the key, by which compaction drops the row.
  std::sort(pointers.begin(), pointers.end(), [](const Pointer& a, const Pointer& b) {
    return a.origin != b.origin ? a.origin > b.origin : a.delivery < b.delivery;
  });
  PointerRow row;
  row.key =
      BigEndian(pointers.front().origin.value()) + BigEndian(pointers.front().delivery.value());
  for (size_t i = 1; i < pointers.size(); ++i) {
    const Pointer& pointer = pointers[i];
    AppendVarint(pointers[i - 1].origin - pointer.origin, row.value);
    AppendVarint(pointer.delivery - pointer.origin, row.value);
  }
  return row;
}

absl::StatusOr<std::vector<Pointer>> DecodePointers(std::string_view key, std::string_view value) {
  if (key.size() != 16) return absl::DataLossError("a pointer has the wrong length");
  std::vector<Pointer> pointers;
  Pointer pointer{LogOffset(FromBigEndian64(key)), LogOffset(FromBigEndian64(key.substr(8)))};
  pointers.push_back(pointer);
  while (!value.empty()) {
    uint64_t older = 0;
    uint64_t distance = 0;
    if (!ReadVarint(value, older) || !ReadVarint(value, distance) ||
        older > pointer.origin.value()) {
      return absl::DataLossError("a row of pointers does not end where it should");
    }
    pointer.origin = pointer.origin - older;
    pointer.delivery = pointer.origin + distance;
    pointers.push_back(pointer);
  }
  return pointers;
}

void PointerRows::Put(const Pointer& pointer, rocksdb::WriteBatch& batch) const {
  std::vector<Pointer> one = {pointer};
  const PointerRow row = EncodePointers(one);
  batch.Put(database_.handle(Family::kPointers), row.key, row.value);
}

void PointerRows::PutCollected(rocksdb::WriteBatch& batch) {
  for (size_t begin = 0; begin < collected_.size(); begin += kMostInRow) {
    const size_t count = std::min(kMostInRow, collected_.size() - begin);
    std::vector<Pointer> some(collected_.begin() + static_cast<ptrdiff_t>(begin),
                              collected_.begin() + static_cast<ptrdiff_t>(begin + count));
    const PointerRow row = EncodePointers(some);
    batch.Put(database_.handle(Family::kPointers), row.key, row.value);
  }
  collected_.clear();
}

absl::StatusOr<std::vector<Pointer>> PointerRows::Across(LogOffset start, LogOffset begin) const {
  std::vector<Pointer> across;
  bool whole = true;
  // Rows that lead only below the log's start are left over until compaction takes them.
  RETURN_IF_ERROR(database_.Scan(Family::kPointers, BigEndian(start.value()),
                                 [&](std::string_view key, std::string_view value) {
                                   const auto pointers = DecodePointers(key, value);
                                   whole = pointers.ok();
                                   if (!whole) return false;
                                   for (const Pointer& pointer : *pointers) {
                                     if (pointer.origin >= start && pointer.origin < begin &&
                                         pointer.delivery >= begin) {
                                       across.push_back(pointer);
                                     }
                                   }
                                   return true;
                                 }));
  if (!whole) return database_.Damaged("a row of pointers");
  return across;
}

absl::StatusOr<std::optional<LogOffset>> PointerRows::Find(LogOffset origin, Accept accept) const {
  std::optional<LogOffset> found;
  bool whole = true;
  RETURN_IF_ERROR(database_.Scan(Family::kPointers, BigEndian(origin.value()),
                                 [&](std::string_view key, std::string_view value) {
                                   const auto pointers = DecodePointers(key, value);
                                   whole = pointers.ok();
                                   if (!whole) return false;
                                   for (const Pointer& pointer : *pointers) {
                                     if (pointer.origin != origin || !accept(pointer.delivery))
                                       continue;
                                     found = pointer.delivery;
                                     return false;
                                   }
                                   return true;
                                 }));
  if (!whole) return database_.Damaged("a row of pointers");
  return found;
}

}  // namespace dunlin::store
