// StateStore: the materialised view of the log in RocksDB; configuration, progress, checkpoint.
//
// Everything in it can be rebuilt from the log, and is, when RocksDB is missing, damaged or ahead
// of the log. RocksDB's own write-ahead log is off: what is not checkpointed is replayed.
//
// Written by the dispatcher only (one thread); read from any thread. RocksDB and protobuf stay
// behind this header and those of store/index.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/state/database_usage.h"
#include "services/store/state/producer_row.h"

namespace dunlin::storage::v1 {
class Checkpoint;
class ConfigChange;
class Group;
class LiteTopic;
class QueueProgress;
class Topic;
class User;
}  // namespace dunlin::storage::v1

namespace dunlin::store {

class Database;

class StateStore {
 public:
  // Opens or creates the database. One that is damaged is removed and made anew: it is only a view.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const std::string& directory);
  virtual ~StateStore() = default;

  // For the rooms that build the view.
  virtual Database& database() = 0;

  // What was in force when the log had been applied up to the dispatched offset.
  virtual absl::StatusOr<std::vector<storage::v1::Topic>> ListTopics() const = 0;
  virtual absl::StatusOr<std::vector<storage::v1::Group>> ListGroups() const = 0;
  virtual absl::StatusOr<std::vector<storage::v1::User>> ListUsers() const = 0;
  // NOT_FOUND when there is none of this number.
  virtual absl::StatusOr<storage::v1::Topic> GetTopic(TopicId topic) const = 0;
  virtual absl::StatusOr<storage::v1::Group> GetGroup(GroupId group) const = 0;
  // NOT_FOUND when the group never consumed from the queue.
  virtual absl::StatusOr<storage::v1::QueueProgress> GetProgress(GroupId group,
                                                                 QueueKey queue) const = 0;
  // Every queue of `topic` in which `group` has progress, ascending by queue.
  virtual absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(
      GroupId group, TopicId topic) const = 0;
  virtual absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(
      GroupId group) const = 0;
  // The same one by one, for groups with progress in a million queues.
  using VisitRow = absl::FunctionRef<void(const storage::v1::QueueProgress&)>;
  virtual absl::Status VisitProgress(GroupId group, VisitRow visit) const = 0;
  // Lightweight topics from `first` on, ascending by parent and queue, while `visit` returns true.
  using VisitLite = absl::FunctionRef<bool(const storage::v1::LiteTopic&)>;
  virtual absl::Status VisitLiteTopics(QueueKey first, VisitLite visit) const = 0;
  // NOT_FOUND when it is not known, or has expired with the log.
  virtual absl::StatusOr<ProducerRow> GetProducer(uint64_t producer, QueueKey queue) const = 0;
  virtual storage::v1::Checkpoint GetCheckpoint() const = 0;
  virtual DatabaseUsage usage() const = 0;
};

}  // namespace dunlin::store
