// Compactor: of the messages of a compacted topic with the same key keeps the newest.
//
// One thread (`compactor`) goes through what came to such topics, every ten seconds, and appends
// COMPACTION records that name what newer messages replace. From when they are applied on, those
// are passed over by every reader. What is kept is moved along when retention lets the log go that
// it stands in (store/dispatch/relocation.h). After a restart it begins anew at the first message
// of each queue: what was replaced before is not there to be looked at any more, and keys that come
// up for the first time are not looked for before (up to 2,000,000 of a queue).

#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/queue_index.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class Compactor {
 public:
  // All arguments must outlive the object.
  Compactor(store::CommitLog& log, store::Dispatcher& dispatcher, const TopicTable& topics)
      : log_(log), dispatcher_(dispatcher), topics_(topics) {}
  ~Compactor();

  // Starts the thread, which calls Step; tests call Step instead.
  void Start();
  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // One round, over all that came since the last one.
  absl::Status Step();

 private:
  // Messages of one queue in a row, and what is known of their keys.
  struct Batch {
    QueueOffset end;
    struct Key {
      QueueOffset oldest;
      QueueOffset newest;
      uint32_t count = 0;
    };
    StringMap<Key> keys;
    std::vector<QueueOffset> replaced;
  };

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Compact(QueueKey queue);
  // The first key of the message at `offset`, for which the index had `entry`; empty when it cannot
  // be read, or has none.
  std::string KeyOf(QueueKey queue, QueueOffset offset, const store::IndexEntry& entry) const;
  absl::StatusOr<Batch> ReadBatch(QueueKey queue, QueueOffset from, QueueOffset end) const;
  // What stood for a key before the batch.
  absl::Status FindOlder(QueueKey queue, const std::string& name, const Batch::Key& key,
                         std::vector<QueueOffset>& replaced) const;
  absl::Status Append(QueueKey queue, std::vector<QueueOffset> replaced);

  store::CommitLog& log_;
  store::Dispatcher& dispatcher_;
  const TopicTable& topics_;
  absl::flat_hash_map<QueueKey, QueueOffset> done_;  // up to where a queue has been gone through

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
