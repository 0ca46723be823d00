// A dunlin under test: how it is started, and how all that it holds is read back.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "e2e/harness/history.h"
#include "e2e/harness/program.h"

namespace dunlin::e2e {

// Queues of every topic that a broker under test makes.
inline constexpr uint32_t kQueues = 4;

struct BrokerOptions {
  std::string program;  // path of dunlin
  std::string data_dir;
  std::string stderr_file;
  bool sync_flush = false;
  bool auto_create_topics = true;  // when they are first sent to
  bool tls = false;                // refuses plaintext; its certificate is in data_dir/tls
  uint64_t segment_bytes = uint64_t{16} << 20;
  std::vector<std::string> settings;  // further ones: "broker.max_topics=7"
};

// Starts dunlin on a free loopback port. Errors as of Program::Start.
absl::StatusOr<std::unique_ptr<Program>> StartBroker(const BrokerOptions& options);

// Sends one message of producer 0 again and again until one is acknowledged; seconds from the start
// of the process until then. DEADLINE_EXCEEDED after 30 s.
absl::StatusOr<double> AwaitFirstAck(const Program& broker, const std::string& topic,
                                     History& history);

// Reads the topic's queues from where `check` is to their ends and gives every message to it. Waits
// for acknowledged messages that are not readable yet for as long as others come, and as long for a
// broker that cannot be reached: it may be on its way to another address. DATA_LOSS when an
// invariant does not hold.
absl::Status ReadBack(const std::string& address, const std::string& topic, HistoryCheck& check);

}  // namespace dunlin::e2e
