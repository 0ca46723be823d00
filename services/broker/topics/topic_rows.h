// Topics and groups as the log and the state store have them.

#pragma once

#include <memory>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

storage::v1::Topic RowOf(const Topic& topic);
storage::v1::Group RowOf(const Group& group);

// Without tails and limits, which are the table's.
std::shared_ptr<Topic> TopicOf(const storage::v1::Topic& row);
std::shared_ptr<Group> GroupOf(const storage::v1::Group& row);

}  // namespace dunlin::broker
