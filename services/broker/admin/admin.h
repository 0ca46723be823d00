// Admin: commands and queries behind dunlin.admin.v1. No gRPC here.
//
// Everything may wait for the log or read from disk: call it on an executor, not on an RPC thread.
// Errors are canonical statuses; the message says what, which value, and the way out.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/broker/admin/lite_admin.h"
#include "services/broker/admission/intake.h"
#include "services/broker/clients/client_registry.h"
#include "services/broker/delivery/lite_delivery.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/wire/position_id.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/retention/retention.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// The rooms the admin looks into; all outlive it.
struct AdminRooms {
  const config::v1::BrokerConfig& config;
  store::CommitLog& log;
  store::StateStore& state;
  store::Dispatcher& dispatcher;
  store::Retention& retention;
  TopicTable& topics;
  Progress& progress;
  Taker& taker;
  WaitingRoom& waiting_room;
  ClientRegistry& clients;
  const Intake& intake;
  LiteDelivery& lite;
  Timestamp started;  // of the broker
};

class Admin {
 public:
  explicit Admin(const AdminRooms& rooms)
      : rooms_(rooms),
        lite_(
            {rooms.log, rooms.state, rooms.dispatcher, rooms.topics, rooms.progress, rooms.lite}) {}

  absl::StatusOr<admin::v1::Topic> CreateTopic(const admin::v1::Topic& topic);
  absl::StatusOr<admin::v1::Topic> UpdateTopic(const admin::v1::Topic& topic);
  absl::StatusOr<admin::v1::GetTopicResponse> GetTopic(const admin::v1::GetTopicRequest& request);
  absl::StatusOr<admin::v1::ListTopicsResponse> ListTopics(
      const admin::v1::ListTopicsRequest& request);
  absl::Status DeleteTopic(const admin::v1::DeleteTopicRequest& request);

  absl::StatusOr<admin::v1::Group> CreateGroup(const admin::v1::Group& group);
  absl::StatusOr<admin::v1::Group> UpdateGroup(const admin::v1::Group& group);
  absl::StatusOr<admin::v1::GetGroupResponse> GetGroup(const admin::v1::GetGroupRequest& request);
  absl::StatusOr<admin::v1::ListGroupsResponse> ListGroups(
      const admin::v1::ListGroupsRequest& request);
  absl::Status DeleteGroup(const admin::v1::DeleteGroupRequest& request);
  absl::StatusOr<admin::v1::ResetOffsetResponse> ResetOffset(
      const admin::v1::ResetOffsetRequest& request);

  absl::StatusOr<admin::v1::ListLiteTopicsResponse> ListLiteTopics(
      const admin::v1::ListLiteTopicsRequest& request);
  absl::StatusOr<admin::v1::LiteTopic> GetLiteTopic(const admin::v1::GetLiteTopicRequest& request);

  absl::StatusOr<admin::v1::GetMessagesResponse> GetMessages(
      const admin::v1::GetMessagesRequest& request);
  admin::v1::ListClientsResponse ListClients() const;
  admin::v1::Broker GetBroker() const;
  absl::StatusOr<admin::v1::CheckpointResponse> Checkpoint();

 private:
  absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(const std::string& name_space,
                                                         const std::string& name) const;
  absl::StatusOr<std::shared_ptr<const Group>> FindGroup(const std::string& name_space,
                                                         const std::string& name) const;
  absl::StatusOr<admin::v1::GroupQueueStatus> QueueStatusOf(const Group& group, const Topic& topic,
                                                            uint32_t queue) const;
  // Where `request` moves the group in this queue.
  absl::StatusOr<QueueOffset> TargetOf(const admin::v1::ResetOffsetRequest& request,
                                       QueueKey queue) const;
  // The record at `offset` of a queue, or an error that says why there is none.
  absl::StatusOr<admin::v1::StoredMessage> ReadPosition(const Topic& topic,
                                                        const admin::v1::Position& position) const;
  // Where the message of a record stands; UINT64_MAX: in no queue yet.
  absl::StatusOr<QueueOffset> OffsetOf(const store::RecordHeader& header) const;
  absl::StatusOr<admin::v1::GetMessagesResponse> GetByPosition(const Topic& topic,
                                                               const Position& position) const;

  const AdminRooms rooms_;
  LiteAdmin lite_;
};

}  // namespace dunlin::broker
