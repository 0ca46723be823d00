// Admin: commands and queries behind dunlin.admin.v1. No gRPC here.
//
// Everything may wait for the log or read from disk: call it on an executor, not on an RPC thread.
// Errors are canonical statuses; the message says what, which value, and the way out.

#pragma once

#include <functional>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/admin/admin_rooms.h"
#include "services/broker/admin/dead_letter_admin.h"
#include "services/broker/admin/lite_admin.h"
#include "services/broker/admin/offset_admin.h"
#include "services/broker/wire/position_id.h"
#include "services/store/log/record.h"

namespace dunlin::broker {

// What a list is to leave out.
using Hidden = std::function<bool(std::string_view name_space, std::string_view name)>;

class Admin {
 public:
  explicit Admin(const AdminRooms& rooms)
      : rooms_(rooms), offsets_(rooms), dead_letters_(rooms), lite_(rooms) {}

  const AdminRooms& rooms() const { return rooms_; }

  // What is done to where groups are, and to what they could not consume.
  OffsetAdmin& offsets() { return offsets_; }
  DeadLetterAdmin& dead_letters() { return dead_letters_; }

  absl::StatusOr<admin::v1::Topic> CreateTopic(const admin::v1::Topic& topic);
  absl::StatusOr<admin::v1::Topic> UpdateTopic(const admin::v1::Topic& topic);
  absl::StatusOr<admin::v1::GetTopicResponse> GetTopic(const admin::v1::GetTopicRequest& request);
  absl::StatusOr<admin::v1::ListTopicsResponse> ListTopics(
      const admin::v1::ListTopicsRequest& request, const Hidden& hidden);
  absl::Status DeleteTopic(const admin::v1::DeleteTopicRequest& request);

  absl::StatusOr<admin::v1::Group> CreateGroup(const admin::v1::Group& group);
  absl::StatusOr<admin::v1::Group> UpdateGroup(const admin::v1::Group& group);
  absl::StatusOr<admin::v1::GetGroupResponse> GetGroup(const admin::v1::GetGroupRequest& request);
  absl::StatusOr<admin::v1::ListGroupsResponse> ListGroups(
      const admin::v1::ListGroupsRequest& request, const Hidden& hidden);
  absl::Status DeleteGroup(const admin::v1::DeleteGroupRequest& request);

  absl::StatusOr<admin::v1::ListLiteTopicsResponse> ListLiteTopics(
      const admin::v1::ListLiteTopicsRequest& request);
  absl::StatusOr<admin::v1::LiteTopic> GetLiteTopic(const admin::v1::GetLiteTopicRequest& request);

  absl::StatusOr<admin::v1::GetMessagesResponse> GetMessages(
      const admin::v1::GetMessagesRequest& request);
  absl::StatusOr<admin::v1::TraceMessagesResponse> TraceMessages(
      const admin::v1::GetMessagesRequest& request);
  admin::v1::ListClientsResponse ListClients() const;
  admin::v1::Broker GetBroker() const;
  absl::StatusOr<admin::v1::CheckpointResponse> Checkpoint();

 private:
  // The record at `offset` of a queue, or an error that says why there is none.
  absl::StatusOr<admin::v1::StoredMessage> ReadPosition(const Topic& topic,
                                                        const admin::v1::Position& position) const;
  // Where the message of a record stands; UINT64_MAX: in no queue yet.
  absl::StatusOr<QueueOffset> OffsetOf(const store::RecordHeader& header) const;
  absl::StatusOr<admin::v1::GetMessagesResponse> GetByPosition(const Topic& topic,
                                                               const Position& position) const;

  const AdminRooms rooms_;
  OffsetAdmin offsets_;
  DeadLetterAdmin dead_letters_;
  LiteAdmin lite_;
};

}  // namespace dunlin::broker
