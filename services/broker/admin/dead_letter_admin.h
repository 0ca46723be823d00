// DeadLetterAdmin: what waits in dead-letter topics, and what becomes of it.
//
// A letter that was sent again, or purged, is done for its group: the progress of the group in its
// own dead-letter topic says so. So it is saved, copied and kept in snapshots like all progress,
// and whoever consumes the topic with the group itself does the same to a letter. Other groups and
// pulls read the topic without changing that.
//
// A letter is sent again by a DELIVERY record in the topic it came from, which points to the
// message and names the one group it is for; the body is not copied.
//
// As Admin: on an executor, one call at a time; canonical statuses.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strong_int.h"
#include "services/broker/admin/admin_rooms.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/broker/wire/stored_message.h"
#include "services/store/index/queue_index.h"

namespace dunlin::broker {

class DeadLetterAdmin {
 public:
  explicit DeadLetterAdmin(const AdminRooms& rooms) : rooms_(rooms) {}

  absl::StatusOr<admin::v1::ListDeadLettersResponse> List(
      const admin::v1::ListDeadLettersRequest& request) const;
  absl::StatusOr<admin::v1::GetDeadLettersResponse> Get(
      const admin::v1::GetDeadLettersRequest& request) const;
  absl::StatusOr<admin::v1::ResendDeadLettersResponse> Resend(
      const admin::v1::ResendDeadLettersRequest& request);
  absl::StatusOr<admin::v1::PurgeDeadLettersResponse> Purge(
      const admin::v1::PurgeDeadLettersRequest& request);

 private:
  // A dead-letter topic, and the group it is of (null when that was deleted).
  struct Box {
    std::shared_ptr<const Topic> topic;
    std::shared_ptr<const Group> group;
    QueueKey queue;
    store::QueueBounds bounds;
  };
  struct Letter {
    storage::v1::Delivery delivery;
    Delivered message;
    LogOffset log_offset;  // of the MESSAGE record, or of the record it was moved into
    Timestamp time;
  };

  absl::StatusOr<Box> Open(const std::string& name_space, const std::string& group) const;
  Box BoxOf(std::shared_ptr<const Topic> topic) const;
  absl::StatusOr<admin::v1::DeadLetterStatus> StatusOf(const Box& box) const;
  // Those that wait, from `from` on; at most `limit`.
  absl::StatusOr<std::vector<QueueOffset>> Waiting(const Box& box, QueueOffset from,
                                                   size_t limit) const;
  absl::StatusOr<Letter> Read(const Box& box, QueueOffset offset) const;
  absl::StatusOr<admin::v1::DeadLetter> Show(const Box& box, QueueOffset offset) const;

  // Leases a letter, so that nobody else sends it again meanwhile.
  absl::StatusOr<ReceiptHandle> Claim(const Box& box, QueueOffset offset);
  absl::StatusOr<std::vector<ReceiptHandle>> ClaimMany(const Box& box, QueueOffset before,
                                                       size_t limit);
  // Where a letter goes, and what is written there.
  struct Resent;
  absl::StatusOr<Resent> Address(const Box& box, QueueOffset offset) const;
  // FAILED_PRECONDITION when there is none.
  absl::Status ChooseQueue(const StoredMessage& message, Resent& resent) const;
  absl::Status Append(const std::vector<Resent>& letters);

  const AdminRooms rooms_;
};

}  // namespace dunlin::broker
