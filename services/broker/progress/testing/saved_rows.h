// SavedRows: a state store of nothing but progress, for one group and topic.

#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strong_int.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// The rows that PROGRESS records would have left in the state store.
class SavedRows final : public store::StateStore {
 public:
  void Apply(const std::string& payload) {
    storage::v1::ProgressChanges changes;
    ASSERT_TRUE(changes.ParseFromString(payload));
    for (const auto& row : changes.queues()) rows_[row.queue()] = row;
  }

  // From now on no row can be read.
  void Break() { broken_ = true; }

  store::Database& database() override { std::abort(); }
  absl::StatusOr<std::vector<storage::v1::Topic>> ListTopics() const override { return Nothing(); }
  absl::StatusOr<std::vector<storage::v1::Group>> ListGroups() const override { return Nothing(); }
  absl::StatusOr<std::vector<storage::v1::User>> ListUsers() const override { return Nothing(); }
  absl::StatusOr<storage::v1::Topic> GetTopic(TopicId) const override { return Nothing(); }
  absl::StatusOr<storage::v1::Group> GetGroup(GroupId) const override { return Nothing(); }
  absl::StatusOr<storage::v1::QueueProgress> GetProgress(GroupId, QueueKey queue) const override {
    if (broken_) return absl::DataLossError("the rows are damaged");
    auto found = rows_.find(queue.queue);
    if (found == rows_.end()) return absl::NotFoundError("no row");
    return found->second;
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId,
                                                                       TopicId) const override {
    return Nothing();
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId) const override {
    return Nothing();
  }
  absl::Status VisitProgress(GroupId, VisitRow) const override { return Nothing(); }
  absl::Status VisitLiteTopics(QueueKey, VisitLite) const override { return Nothing(); }
  absl::StatusOr<store::ProducerRow> GetProducer(uint64_t, QueueKey) const override {
    return Nothing();
  }
  storage::v1::Checkpoint GetCheckpoint() const override { return {}; }
  store::DatabaseUsage usage() const override { return {}; }

 private:
  static absl::Status Nothing() { return absl::UnimplementedError("not asked for"); }
  std::map<uint32_t, storage::v1::QueueProgress> rows_;
  bool broken_ = false;
};

}  // namespace dunlin::broker
