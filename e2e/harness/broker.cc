#include "e2e/harness/broker.h"

#include <fmt/format.h>
#include <poll.h>

#include <chrono>

#include "e2e/harness/client.h"
#include "e2e/harness/payload.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{20};
// Of one call to a broker that may be at another address meanwhile; several fit into kPatience.
constexpr std::chrono::seconds kCallPatience{5};
constexpr std::chrono::seconds kFirstAckPatience{30};
constexpr size_t kProbeBytes = 128;

// All queues once, to their present ends.
absl::Status ReadOnce(V2Client& client, const std::string& topic, HistoryCheck& check) {
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    for (int64_t from = -1; from != check.next_offset(queue);) {
      from = check.next_offset(queue);
      absl::StatusOr<int64_t> next =
          client.Pull({topic, queue}, from, [&](const v2::Message& message) {
            const v2::SystemProperties& properties = message.system_properties();
            return check.Read(queue, properties.queue_offset(), properties.message_id(),
                              message.body());
          });
      RETURN_IF_ERROR(next.status());
      if (*next != check.next_offset(queue)) {
        return absl::DataLossError(fmt::format("queue {}: messages from {} to {} are left out",
                                               queue, check.next_offset(queue), *next));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> StartBroker(const BrokerOptions& options) {
  std::vector<std::string> arguments = {options.program, "--data-dir", options.data_dir};
  for (const std::string& setting :
       {std::string("server.listen_address=127.0.0.1:0"),
        fmt::format("server.tls.mode={}", options.tls ? "REQUIRED" : "OFF"),
        std::string("metrics.listen_address=127.0.0.1:0"),
        std::string("name_service.enabled=false"),
        fmt::format("broker.auto_create_topics={}", options.auto_create_topics),
        fmt::format("broker.default_topic_queues={}", kQueues),
        std::string("broker.max_receive_batch=1024"),
        fmt::format("store.flush_mode={}", options.sync_flush ? "SYNC_FLUSH" : "ASYNC_FLUSH"),
        fmt::format("store.segment_size_bytes={}", options.segment_bytes)}) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  for (const std::string& setting : options.settings) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  return Program::Start(arguments, options.stderr_file);
}

absl::StatusOr<double> AwaitFirstAck(const Program& broker, const std::string& topic,
                                     History& history) {
  V2Client client(broker.address());
  v2::SendMessageRequest request;
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_name(topic);
  message.mutable_system_properties()->set_message_type(v2::NORMAL);
  absl::Status last;
  while (steady_clock::now() - broker.spawned() < kFirstAckPatience) {
    const Identity identity = history.Send(0);
    FillPayload(identity, kProbeBytes, *message.mutable_body());
    message.mutable_system_properties()->set_message_id(MessageIdOf(identity));
    const absl::StatusOr<int64_t> offset = client.Send(request);
    if (offset.ok()) {
      history.Acknowledge(identity, *offset);
      return std::chrono::duration<double>(steady_clock::now() - broker.spawned()).count();
    }
    last = offset.status();
    poll(nullptr, 0, 1);
  }
  return absl::DeadlineExceededError(fmt::format("no send was acknowledged within {} s: {}",
                                                 kFirstAckPatience.count(),
                                                 std::string(last.message())));
}

absl::Status ReadBack(const std::string& address, const std::string& topic, HistoryCheck& check) {
  V2Client client(address, kCallPatience);
  auto last_progress = steady_clock::now();
  for (;;) {
    const uint64_t before = check.read();
    const absl::Status read = ReadOnce(client, topic, check);
    if (!read.ok() && !absl::IsUnavailable(read)) return read;
    if (read.ok() && check.Missing() == 0) return absl::OkStatus();
    const auto now = steady_clock::now();
    if (check.read() != before) last_progress = now;
    if (now - last_progress > kPatience) return read.ok() ? check.CheckNothingMissing() : read;
    poll(nullptr, 0, 10);
  }
}

}  // namespace dunlin::e2e
