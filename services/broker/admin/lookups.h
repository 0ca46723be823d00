// What admin commands have in common: topics and groups by name, queues and messages as people see
// them. Errors say what, which value, and the way out.

#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/admin/admin_rooms.h"
#include "services/broker/wire/position_id.h"

namespace dunlin::broker {

// INVALID_ARGUMENT when it may not be such a name.
absl::Status CheckTopicName(const std::string& name_space, const std::string& name);
absl::Status CheckGroupName(const std::string& name_space, const std::string& name);
// INVALID_ARGUMENT when the topic has no such queue.
absl::Status CheckQueue(const Topic& topic, uint32_t queue);

// INVALID_ARGUMENT, NOT_FOUND.
absl::StatusOr<std::shared_ptr<const Topic>> FindTopic(const AdminRooms& rooms,
                                                       const std::string& name_space,
                                                       const std::string& name);
absl::StatusOr<std::shared_ptr<const Group>> FindGroup(const AdminRooms& rooms,
                                                       const std::string& name_space,
                                                       const std::string& name);

// How far a group is in a queue.
absl::StatusOr<admin::v1::GroupQueueStatus> QueueStatusOf(const AdminRooms& rooms,
                                                          const Group& group, const Topic& topic,
                                                          uint32_t queue);

// A message as tools see it, standing at `place`; with the id it has by that when it has no other.
absl::StatusOr<admin::v1::StoredMessage> Shown(const Delivered& found, const Position& place,
                                               LogOffset log_offset);

}  // namespace dunlin::broker
