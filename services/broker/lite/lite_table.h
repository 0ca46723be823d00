// LiteTable: the lightweight topics there are: their names, the queues they are, and their next
// offsets.
//
// A lightweight topic is a queue of its parent, a topic of kind LITE, with a number of its own. It
// is made by the first send that names it; the record that tells its number stands in the log right
// before the first message, so that whoever reads the one has read the other. Loaded from the state
// store at start.
//
// A pin keeps a lightweight topic from being removed while something is appended to it or taken
// from it. Some 200 bytes each, without its name. Thread-safe; nothing here waits for a disk but
// Load.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

struct LiteTopic {
  QueueKey queue;  // the parent, and the number
  std::string name;
  Timestamp created;
  store::QueueTailSlot tail;  // guarded by the append lock of the log
  // Milliseconds since 1970 of the last send; 0: none since the start of the process.
  std::atomic<int64_t> used_ms{0};
  std::atomic<uint32_t> pins{0};       // grows under the table's lock only
  std::atomic<bool> announced{false};  // the log has its number; set by the table
  // Another one has its name: a crash came between the record that made that and the one that
  // removes this.
  bool replaced = false;
  int64_t check_minute = 0;  // of the table
};

class LiteTable {
 public:
  struct Limits {
    size_t topics = 2'000'000;
    // After a start none is looked at for so long: those who subscribe have to tell it again.
    std::chrono::milliseconds grace{0};
  };

  // The topic it points to stays for as long as this lives, unless its parent is deleted.
  class Pin {
   public:
    Pin() = default;
    Pin(LiteTable* table, std::shared_ptr<LiteTopic> topic)
        : table_(table), topic_(std::move(topic)) {}
    Pin(Pin&& other) noexcept = default;
    Pin& operator=(Pin&& other) noexcept {
      Release();
      table_ = other.table_;
      topic_ = std::move(other.topic_);
      return *this;
    }
    ~Pin() { Release(); }

    explicit operator bool() const { return topic_ != nullptr; }
    LiteTopic& operator*() const { return *topic_; }
    LiteTopic* operator->() const { return topic_.get(); }

   private:
    void Release();

    LiteTable* table_ = nullptr;
    std::shared_ptr<LiteTopic> topic_;
  };

  // `topics` must be loaded; `clock` must outlive the table. Errors: DATA_LOSS when the state is
  // damaged.
  static absl::StatusOr<std::unique_ptr<LiteTable>> Load(const store::Dispatcher& dispatcher,
                                                         const store::StateStore& state,
                                                         const TopicTable& topics,
                                                         const Clock& clock, const Limits& limits);

  // For a send: a new one is in the table at once, and goes again if nothing is appended to it.
  // Until it is `announced`, whatever is appended must tell its number before.
  // Error: LITE_TOPIC_QUOTA_EXCEEDED.
  absl::StatusOr<Pin> FindOrMake(const Topic& parent, std::string_view name)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The log has its number; it goes when it was idle for `expiration`, 0: never.
  void Announced(LiteTopic& topic, std::chrono::minutes expiration) ABSL_LOCKS_EXCLUDED(mutex_);
  // Empty when there is none.
  Pin Find(TopicId parent, std::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  Pin Find(QueueKey queue) ABSL_LOCKS_EXCLUDED(mutex_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t CountOf(TopicId parent) const ABSL_LOCKS_EXCLUDED(mutex_);

  // At most `limit` of those whose time to be looked at has come: they may have been idle for too
  // long. Each is to be removed, or to be looked at again.
  std::vector<std::shared_ptr<LiteTopic>> TakeDue(size_t limit) ABSL_LOCKS_EXCLUDED(mutex_);
  void LookAgain(LiteTopic& topic, Timestamp at) ABSL_LOCKS_EXCLUDED(mutex_);
  // By the next call of TakeDue.
  void LookSoon(LiteTopic& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  // False when it is in use, or was used after `used_ms` was `expected_ms`.
  bool Remove(const LiteTopic& topic, int64_t expected_ms) ABSL_LOCKS_EXCLUDED(mutex_);
  // The time to live of a parent has changed: all of its topics are looked at.
  void LookAtAll(TopicId parent) ABSL_LOCKS_EXCLUDED(mutex_);
  // The parent is deleted.
  void DropParent(TopicId parent) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Name = std::pair<TopicId, std::string_view>;
  static Name NameOf(const LiteTopic* topic) { return {topic->queue.topic, topic->name}; }
  struct NameHash {
    using is_transparent = void;
    size_t operator()(const Name& name) const {
      return absl::Hash<std::pair<TopicId, size_t>>()({name.first, StringHash()(name.second)});
    }
    size_t operator()(const LiteTopic* topic) const { return (*this)(NameOf(topic)); }
  };
  struct NameEqual {
    using is_transparent = void;
    bool operator()(const LiteTopic* a, const LiteTopic* b) const { return NameOf(a) == NameOf(b); }
    bool operator()(const LiteTopic* a, const Name& b) const { return NameOf(a) == b; }
    bool operator()(const Name& a, const LiteTopic* b) const { return NameOf(b) == a; }
  };

  LiteTable(const Clock& clock, const Limits& limits)
      : clock_(clock), limits_(limits), first_look_(clock.Now() + limits.grace) {}

  // The number of a new one: each in turn, so that none is given again soon.
  uint32_t NextNumber() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(const std::shared_ptr<LiteTopic>& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(const LiteTopic& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Pin PinOf(const std::shared_ptr<LiteTopic>& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule(LiteTopic& topic, int64_t minute) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(LiteTopic& topic) ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  const Limits limits_;
  const Timestamp first_look_;

  mutable Mutex mutex_;
  absl::flat_hash_map<uint32_t, std::shared_ptr<LiteTopic>> by_number_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<LiteTopic*, NameHash, NameEqual> by_name_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<TopicId, size_t> counts_ ABSL_GUARDED_BY(mutex_);
  uint32_t next_ ABSL_GUARDED_BY(mutex_) = kFirstLiteQueue;
  // Numbers by the minute in which they are to be looked at; one that was scheduled anew since
  // stands in another minute too, which its check_minute names.
  std::map<int64_t, std::vector<uint32_t>> checks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
