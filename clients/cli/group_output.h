// What the commands about groups have in common.

#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>

#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {

// "namespace/name", or the name alone.
std::string QualifiedName(const std::string& name_space, const std::string& name);

// How far a group is, a line for each queue.
std::string QueueTable(
    const google::protobuf::RepeatedPtrField<admin::v1::GroupQueueStatus>& queues);

// For an option: empty when `text` is a time, else what is wrong.
std::string CheckTime(const std::string& text);

}  // namespace dunlin::cli
