// Load: a closed loop of SendMessage calls, a fixed number outstanding, over gRPC's callback API.
//
// Each of the outstanding calls belongs to a producer of the history that sends its next message
// when the last one was answered, so that a producer's order is known. A call that fails in
// transport ends its producer's part in this load, unless it goes on with the next message: its
// outcome is unknown and it is not sent again.
//
// Threads: made, run and destroyed by one; calls complete on gRPC's.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "e2e/harness/history.h"

namespace dunlin::e2e {

struct LoadOptions {
  std::string address;
  std::string topic = "load";
  int channels = 4;
  size_t body_bytes = 128;
  // Which producers of the history send; 0: all from the first on.
  uint32_t first_producer = 0;
  uint32_t producers = 0;
  // What a producer that was refused waits before it sends its next message.
  std::chrono::milliseconds pause{0};
  // It sends its next one also after a call that failed in transport.
  bool goes_on = false;
  // After it the outcome of a call is not waited for any more.
  std::chrono::milliseconds deadline{30000};
};

struct LoadResult {
  uint64_t acknowledged = 0;
  uint64_t refused = 0;  // answered with another code than OK
  std::string refusal;   // the first of them
  uint64_t broken = 0;   // producers of which a call failed in transport
  std::chrono::duration<double> elapsed{};
  std::vector<uint32_t> latencies_us;  // of the acknowledged, sorted

  double rate() const { return static_cast<double>(acknowledged) / elapsed.count(); }
  uint32_t Percentile(double share) const;
};

class Load {
 public:
  // One call outstanding per producer. `history` must outlive the load.
  Load(const LoadOptions& options, History& history);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void Start();
  // Returns after `duration`, or as soon as every producer has ended.
  void Wait(std::chrono::milliseconds duration);
  // Lets the calls under way end, and sums up.
  LoadResult Stop();

 private:
  class Producer;
  struct Shared;

  const std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Producer>> producers_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace dunlin::e2e
