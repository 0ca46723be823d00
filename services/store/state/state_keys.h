// Keys of the state in RocksDB. docs/formats/rocksdb.md is the table of all of them.

#pragma once

#include <string>
#include <string_view>

#include "services/base/strong_int.h"
#include "services/store/state/database.h"

namespace dunlin::store {

// Of everything in RocksDB; another one makes the next start rebuild it from the log.
inline constexpr uint32_t kFormatVersion = 2;

inline constexpr std::string_view kCheckpointKey = "checkpoint";  // in kMeta
inline constexpr std::string_view kTopicPrefix = "T";             // in kConfig, then the id
inline constexpr std::string_view kGroupPrefix = "G";
inline constexpr std::string_view kLitePrefix = "L";  // then topic, queue
inline constexpr std::string_view kUserPrefix = "U";  // then the name

// In kConfig.
inline std::string TopicKey(TopicId id) {
  return std::string(kTopicPrefix) + BigEndian(id.value());
}
inline std::string GroupKey(GroupId id) {
  return std::string(kGroupPrefix) + BigEndian(id.value());
}
inline std::string LiteKey(QueueKey queue) { return std::string(kLitePrefix) + KeyOf(queue); }
inline std::string UserKey(std::string_view name) { return std::string(kUserPrefix).append(name); }
// In kProgress: group, topic, queue.
inline std::string ProgressKey(GroupId group, QueueKey queue) {
  return BigEndian(group.value()) + KeyOf(queue);
}

// In kProducers: producer, topic, queue.
inline std::string ProducerKey(uint64_t producer, QueueKey queue) {
  return BigEndian(producer) + KeyOf(queue);
}

}  // namespace dunlin::store
