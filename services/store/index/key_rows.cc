#include "services/store/index/key_rows.h"

#include <array>
#include <limits>
#include <string>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr size_t kRowSize = 16;

// What was hashed; on disk.
enum class KeyKind : char { kKey = 'K', kMessageId = 'I' };

// FNV-1a, 64 bits: on disk, so it never changes.
uint64_t Hash(TopicId topic, KeyKind kind, std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&hash](std::string_view bytes) {
    for (char byte : bytes) {
      hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
    }
  };
  mix(BigEndian(topic.value()));
  const char kind_byte = static_cast<char>(kind);
  mix({&kind_byte, 1});
  mix(key);
  return hash;
}

}  // namespace

void KeyRows::Put(TopicId topic, LogOffset record, const MessageKeys& keys,
                  rocksdb::WriteBatch& batch) {
  auto put = [&](KeyKind kind, std::string_view key) {
    if (key.empty()) return;
    std::array<char, kRowSize> row;  // big-endian, as all keys
    StoreLittle(row.data(), __builtin_bswap64(Hash(topic, kind, key)));
    StoreLittle(row.data() + 8, __builtin_bswap64(record.value()));
    batch.Put(database_.handle(Family::kKeys), rocksdb::Slice(row.data(), row.size()),
              rocksdb::Slice());
  };
  put(KeyKind::kMessageId, keys.message_id);
  for (std::string_view key : keys.keys) put(KeyKind::kKey, key);
}

absl::StatusOr<std::vector<LogOffset>> KeyRows::Find(uint64_t hash, size_t limit) const {
  std::vector<LogOffset> found;
  if (limit == 0) return found;
  const std::string prefix = BigEndian(hash);
  const LogOffset start = log_.start();
  RETURN_IF_ERROR(database_.ScanBack(Family::kKeys,
                                     prefix + BigEndian(std::numeric_limits<uint64_t>::max()),
                                     [&](std::string_view key, std::string_view /*value*/) {
                                       if (key.size() != kRowSize || !key.starts_with(prefix))
                                         return false;
                                       const LogOffset offset(FromBigEndian64(key.substr(8)));
                                       if (offset < start) return false;
                                       found.push_back(offset);
                                       return found.size() < limit;
                                     }));
  return found;
}

absl::StatusOr<std::vector<LogOffset>> KeyRows::FindByKey(TopicId topic, std::string_view key,
                                                          size_t limit) const {
  return Find(Hash(topic, KeyKind::kKey, key), limit);
}

absl::StatusOr<std::vector<LogOffset>> KeyRows::FindByMessageId(TopicId topic,
                                                                std::string_view message_id,
                                                                size_t limit) const {
  return Find(Hash(topic, KeyKind::kMessageId, message_id), limit);
}

}  // namespace dunlin::store
