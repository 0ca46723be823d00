#include "clients/cli/group_output.h"

#include <google/protobuf/util/time_util.h>

#include <vector>

#include "clients/cli/output.h"

namespace dunlin::cli {

std::string QualifiedName(const std::string& name_space, const std::string& name) {
  return name_space.empty() ? name : name_space + "/" + name;
}

std::string QueueTable(
    const google::protobuf::RepeatedPtrField<admin::v1::GroupQueueStatus>& queues) {
  std::vector<std::vector<std::string>> rows = {
      {"TOPIC", "QUEUE", "COMMITTED", "NEXT", "END", "LAG", "IN FLIGHT", "RETRYING"}};
  for (const admin::v1::GroupQueueStatus& queue : queues) {
    rows.push_back({queue.topic(), std::to_string(queue.queue()),
                    std::to_string(queue.committed_offset()), std::to_string(queue.next_offset()),
                    std::to_string(queue.max_offset()), std::to_string(queue.lag()),
                    std::to_string(queue.in_flight()), std::to_string(queue.retrying())});
  }
  return Table(rows);
}

std::string CheckTime(const std::string& text) {
  google::protobuf::Timestamp time;
  return google::protobuf::util::TimeUtil::FromString(text, &time)
             ? ""
             : "must be a time like 2026-11-20T22:00:00Z";
}

}  // namespace dunlin::cli
