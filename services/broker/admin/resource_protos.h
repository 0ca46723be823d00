// Topics and groups as the admin contract says them, and back. Pure.

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

void SetTime(Timestamp from, google::protobuf::Timestamp* to);
// INVALID_ARGUMENT outside the years 1 to 9999, which is what the type allows.
absl::StatusOr<Timestamp> ToTimestamp(const google::protobuf::Timestamp& from);

// `rate` with what `proto` says.
Rate Changed(Rate rate, const admin::v1::Rate& proto);
TopicRetention Changed(TopicRetention retention, const admin::v1::TopicRetention& proto);

absl::StatusOr<TopicTable::TopicSpec> SpecOf(const admin::v1::Topic& topic);
admin::v1::Topic ToProto(const Topic& topic);

// Takes from `proto` what it says; the rest stays as it is in `group`. INVALID_ARGUMENT when
// something in it is no such thing.
absl::Status Merge(const admin::v1::Group& proto, const config::v1::BrokerConfig& config,
                   Timestamp now, Group& group);
admin::v1::Group ToProto(const Group& group);

}  // namespace dunlin::broker
