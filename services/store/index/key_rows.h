// KeyRows: the key index as it is kept: one RocksDB row per key and message id of a message.

#pragma once

#include <rocksdb/write_batch.h>

#include "services/store/index/key_index.h"
#include "services/store/index/message_keys.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

class KeyRows final : public KeyIndex {
 public:
  // Both must outlive the index.
  KeyRows(Database& database, const CommitLog& log) : database_(database), log_(log) {}

  // KeyIndex
  absl::StatusOr<std::vector<LogOffset>> FindByKey(TopicId topic, std::string_view key,
                                                   size_t limit) const override;
  absl::StatusOr<std::vector<LogOffset>> FindByMessageId(TopicId topic, std::string_view message_id,
                                                         size_t limit) const override;

  void Put(TopicId topic, LogOffset record, const MessageKeys& keys, rocksdb::WriteBatch& batch);

 private:
  absl::StatusOr<std::vector<LogOffset>> Find(uint64_t hash, size_t limit) const;

  Database& database_;
  const CommitLog& log_;
};

}  // namespace dunlin::store
