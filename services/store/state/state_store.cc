#include "services/store/state/state_store.h"

#include <fmt/format.h>

#include <utility>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/store/state/database.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

class RocksStateStore final : public StateStore {
 public:
  explicit RocksStateStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  Database& database() override { return *database_; }

  absl::StatusOr<std::vector<storage::v1::Topic>> ListTopics() const override {
    return List<storage::v1::Topic>(Family::kConfig, kTopicPrefix, "topic");
  }
  absl::StatusOr<std::vector<storage::v1::Group>> ListGroups() const override {
    return List<storage::v1::Group>(Family::kConfig, kGroupPrefix, "group");
  }
  absl::StatusOr<std::vector<storage::v1::User>> ListUsers() const override {
    return List<storage::v1::User>(Family::kConfig, kUserPrefix, "user");
  }
  absl::StatusOr<storage::v1::Topic> GetTopic(TopicId topic) const override {
    return Get<storage::v1::Topic>(Family::kConfig, TopicKey(topic), "topic");
  }
  absl::StatusOr<storage::v1::Group> GetGroup(GroupId group) const override {
    return Get<storage::v1::Group>(Family::kConfig, GroupKey(group), "group");
  }
  absl::StatusOr<storage::v1::QueueProgress> GetProgress(GroupId group,
                                                         QueueKey queue) const override {
    return Get<storage::v1::QueueProgress>(Family::kProgress, ProgressKey(group, queue),
                                           "progress");
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(
      GroupId group, TopicId topic) const override {
    return List<storage::v1::QueueProgress>(
        Family::kProgress, BigEndian(group.value()) + BigEndian(topic.value()), "progress");
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(
      GroupId group) const override {
    return List<storage::v1::QueueProgress>(Family::kProgress, BigEndian(group.value()),
                                            "progress");
  }
  absl::Status VisitProgress(GroupId group, VisitRow visit) const override {
    return Visit<storage::v1::QueueProgress>(Family::kProgress, BigEndian(group.value()),
                                             BigEndian(group.value()), "progress",
                                             [&](const storage::v1::QueueProgress& row) {
                                               visit(row);
                                               return true;
                                             });
  }
  absl::Status VisitLiteTopics(QueueKey first, VisitLite visit) const override {
    return Visit<storage::v1::LiteTopic>(Family::kConfig, LiteKey(first), kLitePrefix,
                                         "lightweight topics", visit);
  }
  absl::StatusOr<ProducerRow> GetProducer(uint64_t producer, QueueKey queue) const override {
    ASSIGN_OR_RETURN(const std::optional<std::string> row,
                     database_->Get(Family::kProducers, ProducerKey(producer, queue)));
    if (!row.has_value()) return absl::NotFoundError("the producer is not known in this queue");
    absl::StatusOr<ProducerRow> decoded = DecodeProducerRow(*row);
    if (!decoded.ok()) return Undecodable("producers");
    return decoded;
  }
  DatabaseUsage usage() const override { return database_->usage(); }
  storage::v1::Checkpoint GetCheckpoint() const override {
    storage::v1::Checkpoint checkpoint;
    const absl::StatusOr<std::optional<std::string>> row =
        database_->Get(Family::kMeta, kCheckpointKey);
    if (!row.ok() || !row->has_value() || !checkpoint.ParseFromString(**row)) {
      checkpoint.Clear();  // as if there were none: everything is rebuilt
    }
    return checkpoint;
  }

 private:
  absl::Status Undecodable(const char* what) const {
    return database_->Damaged(fmt::format("a row of the {} cannot be decoded", what));
  }

  template <typename Proto>
  absl::StatusOr<Proto> Get(Family family, std::string_view key, const char* what) const {
    ASSIGN_OR_RETURN(const std::optional<std::string> row, database_->Get(family, key));
    if (!row.has_value()) return absl::NotFoundError(fmt::format("there is no such {}", what));
    Proto proto;
    if (!proto.ParseFromString(*row)) return Undecodable(what);
    return proto;
  }

  // Rows with `prefix` from `begin` on, while `visit` returns true.
  template <typename Proto, typename Visitor>
  absl::Status Visit(Family family, std::string_view begin, std::string_view prefix,
                     const char* what, const Visitor& visit) const {
    Proto row;
    absl::Status decoded;
    RETURN_IF_ERROR(
        database_->Scan(family, begin, [&](std::string_view key, std::string_view value) {
          if (!key.starts_with(prefix)) return false;
          if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
            decoded = Undecodable(what);
          }
          return decoded.ok() && visit(row);
        }));
    return decoded;
  }

  template <typename Proto>
  absl::StatusOr<std::vector<Proto>> List(Family family, std::string_view prefix,
                                          const char* what) const {
    std::vector<Proto> list;
    absl::Status decoded;
    RETURN_IF_ERROR(
        database_->Scan(family, prefix, [&](std::string_view key, std::string_view value) {
          if (!key.starts_with(prefix)) return false;
          if (!list.emplace_back().ParseFromArray(value.data(), static_cast<int>(value.size()))) {
            decoded = Undecodable(what);
          }
          return decoded.ok();
        }));
    RETURN_IF_ERROR(decoded);
    return list;
  }

  const std::unique_ptr<Database> database_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(const std::string& directory) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(directory));
  return std::unique_ptr<StateStore>(new RocksStateStore(std::move(database)));
}

}  // namespace dunlin::store
