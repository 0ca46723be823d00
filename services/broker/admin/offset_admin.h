// OffsetAdmin: moves groups by hand: resets, skips, copies where another group is.
//
// As Admin: on an executor; canonical statuses. A move counts at once and is saved within 100 ms,
// like all progress.

#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/admin/admin_rooms.h"
#include "services/broker/admin/lite_admin.h"

namespace dunlin::broker {

class OffsetAdmin {
 public:
  explicit OffsetAdmin(const AdminRooms& rooms) : rooms_(rooms), lite_(rooms) {}

  absl::StatusOr<admin::v1::ResetOffsetResponse> Reset(
      const admin::v1::ResetOffsetRequest& request);
  absl::StatusOr<admin::v1::SkipMessagesResponse> Skip(
      const admin::v1::SkipMessagesRequest& request);
  absl::StatusOr<admin::v1::CloneOffsetsResponse> Clone(
      const admin::v1::CloneOffsetsRequest& request);

 private:
  // Where `request` moves the group in this queue.
  absl::StatusOr<QueueOffset> TargetOf(const admin::v1::ResetOffsetRequest& request,
                                       QueueKey queue) const;
  // How many messages of the queue were passed over.
  absl::StatusOr<uint64_t> SkipIn(const Group& group, QueueKey queue, uint64_t count);
  absl::Status CloneTopic(const Group& from, const Group& to, const Topic& topic,
                          admin::v1::CloneOffsetsResponse& response);

  const AdminRooms rooms_;
  LiteAdmin lite_;
};

}  // namespace dunlin::broker
