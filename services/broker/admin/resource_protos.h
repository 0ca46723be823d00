// Topics and groups as the admin contract says them, and back. Pure.

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/base/clock.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

void SetTime(Timestamp from, google::protobuf::Timestamp* to);
// INVALID_ARGUMENT outside the years 1 to 9999, which is what the type allows.
absl::StatusOr<Timestamp> ToTimestamp(const google::protobuf::Timestamp& from);

absl::StatusOr<TopicTable::TopicSpec> SpecOf(const admin::v1::Topic& topic);
admin::v1::Topic ToProto(const Topic& topic);

// INVALID_ARGUMENT when something that is one of several is none of them.
absl::Status CheckOrder(const admin::v1::Group& group);
// Takes from `proto` what it says; the rest stays as it is in `group`.
void Merge(const admin::v1::Group& proto, Group& group);
admin::v1::Group ToProto(const Group& group);

}  // namespace dunlin::broker
