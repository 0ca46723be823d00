// TopicTable: which topics and consumer groups exist, and the next offset of each queue.
//
// The in-memory truth while the broker runs; made from the state store at start. A change is a
// CONFIG record: it counts from the moment the record is durable, and is in the table from then on.
// Whoever watches a topic is told then.
//
// That of a slave changes nothing itself: it follows the state store (Follow).
//
// Lookups are thread-safe, cheap and never wait for a disk. Changes wait for the log: call them on
// an executor, not on an RPC thread.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/qualified_name.h"
#include "services/broker/topics/rate_limit.h"
#include "services/broker/topics/topic_watchers.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// Bits of Topic::kinds: 1 << apache.rocketmq.v2.MessageType.
constexpr uint32_t KindBit(int32_t message_type) { return uint32_t{1} << message_type; }
inline constexpr uint32_t kLiteKinds = KindBit(5);  // of a topic of lightweight topics: LITE alone

enum class Access : int32_t { kNone = 1, kRead = 2, kWrite = 3, kReadWrite = 4 };  // v2.Permission

// What a topic keeps of its messages, less than the broker does. Zeros: as long as the broker.
struct TopicRetention {
  std::chrono::milliseconds max_age{0};  // since a message came into its queue
  uint64_t max_queue_bytes = 0;          // of messages, in each queue
  bool consumed = false;                 // not what all groups of the queue are done with

  bool IsSet() const { return max_age.count() > 0 || max_queue_bytes > 0 || consumed; }
};

// A topic as it was when looked up; changes make a new one that shares the tails.
struct Topic {
  TopicId id;
  std::string name_space;  // empty: the default one
  std::string name;
  uint32_t kinds = 0;
  Access access = Access::kReadWrite;
  Timestamp created;
  std::string description;
  TopicRetention retention;
  // Of messages with the same first key only the newest is kept.
  bool compacted = false;
  // New messages go to queues 0 .. write_queues - 1; the others are read until they are empty, and
  // stay. 1 to queues().
  uint32_t write_queues = 0;
  // Without a message for so long a lightweight topic is removed; 0: never.
  std::chrono::minutes lite_expiration{0};
  // One per queue; guarded by the append lock of the log.
  std::vector<std::shared_ptr<store::QueueTailSlot>> tails;
  // Spreads messages over the queues; shared by all versions of the topic.
  std::shared_ptr<std::atomic<uint32_t>> turn;
  // What may be sent to it. The limit is made by the table; null: none.
  Rate send_rate;
  std::shared_ptr<RateLimit> send_limit;

  uint32_t queues() const { return static_cast<uint32_t>(tails.size()); }
  bool readable() const { return access == Access::kRead || access == Access::kReadWrite; }
  bool writable() const { return access == Access::kWrite || access == Access::kReadWrite; }
  bool Accepts(int32_t message_type) const { return (kinds & KindBit(message_type)) != 0; }
  // Its messages stand in lightweight topics, not in queues of its own.
  bool lite() const { return kinds == kLiteKinds; }
};

// The priority alone says what comes first.
inline constexpr uint32_t kPriorityAlone = 100;

struct Group {
  GroupId id;
  std::string name_space;
  std::string name;
  uint32_t max_attempts = 17;
  // Delay after the n-th failed attempt; the last one repeats. Empty when exponential.
  std::vector<std::chrono::milliseconds> retry_delays;
  struct Exponential {
    std::chrono::milliseconds initial{0};
    std::chrono::milliseconds max{0};
    double multiplier = 1;
  } exponential;
  bool fifo = false;
  // Of 100 receives on a topic with priorities, so many begin with the highest; the others with
  // each priority in turn. 0 to 100.
  uint32_t priority_factor = kPriorityAlone;
  Timestamp created;
  std::string description;
  // Where it begins in a queue that it never consumed from: the first message stored at or after
  // it. 1970: the first that is there.
  Timestamp start;
  // Nothing is delivered to it.
  bool paused = false;
  // What is delivered to it. The limit is made by the table; null: none.
  Rate rate;
  std::shared_ptr<RateLimit> limit;
  // Messages of one topic that are leased at a time; 0: no limit of the group.
  uint32_t max_in_flight = 0;
  // The topic of lightweight topics that it consumes, in its own namespace; empty: others.
  std::string lite_bind_topic;
  // A lightweight topic goes to the one consumer that subscribed to it last.
  bool lite_exclusive = false;

  bool BoundTo(const Topic& topic) const {
    return lite_bind_topic == topic.name && name_space == topic.name_space;
  }

  // What may be delivered to it now, whoever asks and however; and that so much was.
  RateLimit::Left Allowance() const { return limit == nullptr ? RateLimit::Left() : limit->Now(); }
  void Charge(uint64_t messages, uint64_t bytes) const {
    if (limit != nullptr && messages > 0) limit->Charge(messages, bytes);
  }

  // Delay before the next delivery after attempt `attempt` (1 or more) failed.
  std::chrono::milliseconds RetryDelay(uint32_t attempt) const;
};

inline constexpr uint32_t kMaxQueues = 65'535;
inline constexpr std::chrono::minutes kMaxLiteExpiration = std::chrono::days(30);

class TopicTable {
 public:
  // How many there may be: each takes memory for good.
  struct Limits {
    size_t topics = 100'000;
    size_t groups = 100'000;
    size_t watches = 500'000;
  };
  // All arguments but `limits` must outlive the table.
  static absl::StatusOr<std::unique_ptr<TopicTable>> Load(store::CommitLog& log,
                                                          const store::Dispatcher& dispatcher,
                                                          const store::StateStore& state,
                                                          const Clock& clock, const Limits& limits);

  // Null when there is none.
  std::shared_ptr<const Topic> FindTopic(std::string_view name_space, std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<const Topic> FindTopic(TopicId id) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<const Group> FindGroup(std::string_view name_space, std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<const Group> FindGroup(GroupId id) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Those who want to hear of topics, by qualified name.
  TopicWatchers& watchers() { return watchers_; }

  // Ascending by qualified name.
  std::vector<std::shared_ptr<const Topic>> Topics() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<const Group>> Groups() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that consume lightweight topics of `topic`, in any order.
  std::vector<std::shared_ptr<const Group>> GroupsBoundTo(const Topic& topic) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct TopicSpec {
    std::string name_space;
    std::string name;
    uint32_t queues = 8;
    uint32_t kinds = 0;
    Access access = Access::kReadWrite;
    std::string description;
    TopicRetention retention;
    bool compacted = false;
    Rate send_rate;
    std::chrono::minutes lite_expiration{0};
  };
  // `spec.name` is taken as valid (admission/names.h). Errors: ALREADY_EXISTS, INVALID_ARGUMENT
  // (queues, kinds), RESOURCE_EXHAUSTED (as many as allowed), those of the log.
  absl::StatusOr<std::shared_ptr<const Topic>> CreateTopic(const TopicSpec& spec)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // Replaces everything but id and creation time. With fewer queues than before those that are too
  // many get no new messages. Errors: NOT_FOUND, INVALID_ARGUMENT (queues, kinds; a LITE topic that
  // is to be another one or the other way round: what is in it would be out of reach).
  absl::StatusOr<std::shared_ptr<const Topic>> UpdateTopic(const TopicSpec& spec)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::StatusOr<std::shared_ptr<const Topic>> DeleteTopic(std::string_view name_space,
                                                           std::string_view name)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // `group.id`, `group.created` and `group.limit` are ignored. Errors as for topics; a group stays
  // bound to the topic of lightweight topics that it was bound to once.
  absl::StatusOr<std::shared_ptr<const Group>> CreateGroup(const Group& group)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::StatusOr<std::shared_ptr<const Group>> UpdateGroup(const Group& group)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::StatusOr<std::shared_ptr<const Group>> DeleteGroup(std::string_view name_space,
                                                           std::string_view name)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Takes over what changed in the state store, and tells those who watch it. For the table of a
  // log that somebody else writes, whose tails stand still. Reads the disk.
  absl::Status Follow(const store::StateStore& state,
                      const store::Dispatcher::ChangedConfig& changed)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

 private:
  TopicTable(store::CommitLog& log, const Clock& clock, const Limits& limits, TopicId next_topic,
             GroupId next_group);

  using ChangedTopic = absl::StatusOr<std::shared_ptr<const Topic>>;
  // Tells those who watch it, unless nothing has changed.
  ChangedTopic Tell(ChangedTopic changed) const ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  ChangedTopic DoCreateTopic(const TopicSpec& spec) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  ChangedTopic DoUpdateTopic(const TopicSpec& spec) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  ChangedTopic DoDeleteTopic(std::string_view name_space, std::string_view name)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  size_t CountTopics() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t CountGroups() const ABSL_LOCKS_EXCLUDED(mutex_);
  // No message may get an offset below the cursor of a group, which would never receive it. A log
  // damaged at its end, and the index rebuilt from it, can know fewer messages than were delivered.
  void RaiseTail(const storage::v1::QueueProgress& progress) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const Topic>> PutTopic(std::shared_ptr<Topic> topic)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_);
  absl::StatusOr<std::shared_ptr<const Group>> PutGroup(std::shared_ptr<Group> group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_);
  absl::Status Record(const std::string& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_);
  // Of Follow: what was put, what was deleted. Names of topics are added to `names`.
  void TakeOver(const storage::v1::Topic& row, std::vector<std::string>& names)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeAway(const Topic& topic, std::vector<std::string>& names)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeOver(const storage::v1::Group& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeAway(const Group& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);

  store::CommitLog& log_;
  const Clock& clock_;
  const Limits limits_;
  TopicWatchers watchers_;

  // Serialises changes; held while the log makes one durable. Taken before mutex_.
  Mutex change_mutex_;
  TopicId next_topic_ ABSL_GUARDED_BY(change_mutex_);
  GroupId next_group_ ABSL_GUARDED_BY(change_mutex_);

  mutable Mutex mutex_;
  StringMap<std::shared_ptr<const Topic>> topics_ ABSL_GUARDED_BY(mutex_);
  StringMap<std::shared_ptr<const Group>> groups_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<TopicId, std::shared_ptr<const Topic>> topics_by_id_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<GroupId, std::shared_ptr<const Group>> groups_by_id_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
