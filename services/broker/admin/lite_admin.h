// LiteAdmin: queries and commands for lightweight topics. May read from disk.

#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/admin/admin_rooms.h"

namespace dunlin::broker {

class LiteAdmin {
 public:
  explicit LiteAdmin(const AdminRooms& rooms) : rooms_(rooms) {}

  // INVALID_ARGUMENT when `group` is to be bound to what cannot be; FAILED_PRECONDITION when there
  // is no such topic.
  absl::Status CheckBindTopic(const Group& group) const;

  // Of `topic`. Errors: INVALID_ARGUMENT when it is of another kind, or the page is none.
  absl::StatusOr<admin::v1::ListLiteTopicsResponse> List(
      const Topic& topic, const admin::v1::ListLiteTopicsRequest& request);
  // NOT_FOUND when there is none of this name.
  absl::StatusOr<admin::v1::LiteTopic> Get(const Topic& topic, const std::string& name);
  // The queue of a lightweight topic. Errors as Get.
  absl::StatusOr<QueueKey> QueueOf(const Topic& topic, const std::string& name);

 private:
  absl::StatusOr<admin::v1::LiteTopic> Describe(
      const LiteTopic& topic, const std::vector<std::shared_ptr<const Group>>& groups);
  absl::Status AddGroup(const LiteTopic& topic, const Group& group, admin::v1::LiteTopic& proto);

  const AdminRooms rooms_;
};

}  // namespace dunlin::broker
