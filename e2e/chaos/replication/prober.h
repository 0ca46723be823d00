// Prober: from when on somebody acknowledges again.
//
// Asks members of a group all at once, each on a thread of its own with a producer of its own,
// message after message, as a client does that looks for the master.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "e2e/harness/history.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"

namespace dunlin::e2e {

// One message to `topic`, with the payload of that identity.
apache::rocketmq::v2::SendMessageRequest MessageOf(Identity identity, const std::string& topic);

class Prober {
 public:
  struct Target {
    std::string address;    // of a broker
    uint32_t producer = 0;  // of the history, nobody else's meanwhile
  };

  // Starts at once. `history` must outlive the prober.
  Prober(std::vector<Target> targets, std::string topic, History& history);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // When the first message was acknowledged. DEADLINE_EXCEEDED with what was last heard.
  absl::StatusOr<std::chrono::steady_clock::time_point> Await(std::chrono::seconds patience);

 private:
  void Run(const Target& target);

  const std::string topic_;
  History& history_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  CondVar changed_;
  std::optional<std::chrono::steady_clock::time_point> acknowledged_ ABSL_GUARDED_BY(mutex_);
  std::string heard_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::e2e
