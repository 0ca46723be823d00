#include "e2e/harness/read_back.h"

#include <vector>

#include "e2e/harness/server_process.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

absl::Status ReadQueue(V2Client& client, const v2::MessageQueue& queue, Reading& reading) {
  const auto id = static_cast<uint32_t>(queue.id());
  while (true) {
    const uint64_t from = reading.Next(id);
    ASSIGN_OR_RETURN(const uint64_t next, client.Pull(queue, from, [&](const v2::Message& message) {
      const auto offset = static_cast<uint64_t>(message.system_properties().queue_offset());
      return reading.Observe({.queue = id, .offset = offset}, message.body());
    }));
    if (next != reading.Next(id)) {
      return absl::AbortedError("queue " + std::to_string(id) + " goes on at offset " +
                                std::to_string(next) + ", behind messages that were not shown");
    }
    if (next == from) return absl::OkStatus();
  }
}

}  // namespace

absl::Status ReadBack(V2Client& client, const std::string& topic, Reading& reading,
                      milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  ASSIGN_OR_RETURN(const std::vector<v2::MessageQueue> queues, client.QueryRoute(topic));
  while (true) {
    for (const v2::MessageQueue& queue : queues) {
      RETURN_IF_ERROR(ReadQueue(client, queue, reading));
    }
    absl::Status complete = reading.CheckComplete();
    if (complete.ok() || steady_clock::now() > deadline) return complete;
    Pause(milliseconds(20));
  }
}

}  // namespace dunlin::e2e
