// Load: producers that send as fast as they are answered, each with one message outstanding.
//
// Runs on gRPC's own threads between construction and Stop. A producer ends at its first error; the
// message is then in doubt.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "e2e/harness/history.h"
#include "services/base/mutex.h"

namespace dunlin::e2e {

class Load {
 public:
  // One producer for each of `history`, spread over `channels` connections to `address`.
  // REQUIRES: `history` is not used otherwise until Stop.
  Load(History& history, const std::string& address, const std::string& topic, uint32_t channels);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  uint64_t acked() const { return acked_.load(std::memory_order_relaxed); }

  // From now on errors are expected: the server is about to be killed.
  void ExpectDeath() { death_expected_ = true; }
  // Sends nothing more and waits for what is outstanding. OK, or the first error that was not
  // expected.
  absl::Status Stop();

 private:
  class Producer;
  void Count() { acked_.fetch_add(1, std::memory_order_relaxed); }
  // The last step of a producer; it makes no further call.
  void Ended(const absl::Status& status);

  std::atomic<uint64_t> acked_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> death_expected_ = false;
  std::vector<std::unique_ptr<Producer>> producers_;
  Mutex mutex_;
  CondVar ended_;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::e2e
