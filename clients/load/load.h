// Load: sends and receives as fast as it goes, or at a fixed rate, and measures.
//
// Closed loop (no rate): as much as the broker answers. Open loop (a rate): message i is due i /
// rate seconds after the start, and its latency counts from then, however late it really leaves, so
// that a broker that stalls is not spared the messages that would have come meanwhile.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "clients/load/histogram.h"
#include "clients/load/ledger.h"
#include "clients/load/spread.h"
#include "services/base/request_signature.h"

namespace dunlin::load {

struct Target {
  std::string endpoint = "127.0.0.1:8081";
  std::string name_space;
  bool tls = false;
  std::string tls_ca;       // PEM file
  Credentials credentials;  // of a user; without an access key: nobody's
  std::string topic;
};

// What ends a load, whichever comes first; 0: not this.
struct Extent {
  uint64_t messages = 0;
  std::chrono::milliseconds duration{0};
};

// Called about once a second.
struct Progress {
  std::chrono::milliseconds elapsed{0};
  uint64_t messages = 0;
};
using OnProgress = std::function<void(const Progress&)>;

struct ProduceOptions {
  Target target;
  Spread spread;  // of streams only
  Extent extent;
  uint64_t run = 0;         // any number that no other load on the topic has
  size_t body_bytes = 128;  // kMinBody or more
  double rate = 0;          // messages per second; 0: closed loop
  int streams = 1;          // connections
  // Of streams: bytes not answered yet. Of v2: calls.
  size_t pending_bytes = 16u << 20;
  int outstanding = 64;
  int batch = 1;  // of v2: messages per call
  // Of streams: delivery times, spread evenly over so long, beginning so long after the start of
  // the load. The topic has to take delayed messages.
  std::chrono::milliseconds delay{0};
  std::chrono::milliseconds delay_spread{0};
  // Of an open loop: what cannot be sent when it is due, because too much is not answered or the
  // broker asked to wait, is left out instead of sent late.
  bool shed = false;
  // Of v2: what the broker asks for along with a refusal is passed over.
  bool ignore_hints = false;
  // Told what became of each message of an open loop; may be null.
  Outcomes* outcomes = nullptr;
  // Ends the load early when it becomes true; may be null.
  const std::atomic<bool>* stop = nullptr;
  // Of streams: waits while one of the readers, who count what they received of this run, is more
  // than so many messages behind; 0: never.
  uint64_t max_lag = 0;
  std::vector<const std::atomic<uint64_t>*> readers;
};

struct LoadResult {
  uint64_t messages = 0;  // acknowledged, or received
  uint64_t errors = 0;
  std::string first_error;
  double seconds = 0;
  double client_cpu_seconds = 0;
  Histogram latency;
  // Of an open loop that sheds.
  uint64_t due = 0;
  uint64_t shed = 0;              // not sent
  uint64_t refused = 0;           // with TOO_MANY_REQUESTS; not among `errors`. Streams try again
  int64_t first_due_ms = 0;       // of delayed messages, since 1970
  uint64_t refused_unhinted = 0;  // of these, without the time after which to try again
  double rate() const { return seconds > 0 ? static_cast<double>(messages) / seconds : 0; }
};

// Over dunlin.broker.v1. Latency is that of the acknowledgement; in a closed loop of the first
// message of each frame, for all of it. Errors: no broker, no topic.
absl::StatusOr<LoadResult> Produce(const ProduceOptions& options, const OnProgress& progress);

// Over apache.rocketmq.v2, any server of it.
absl::StatusOr<LoadResult> ProduceV2(const ProduceOptions& options, const OnProgress& progress);

// A run that was spread over queues: each of its messages must be where it was sent.
struct SpreadRun {
  uint64_t run = 0;
  uint64_t expected = 0;
  Spread spread;
};

struct ConsumeOptions {
  Target target;
  // Of spread runs over the same queues, instead of all but `patience` below.
  std::vector<SpreadRun> spread_runs;
  uint64_t run = 0;
  uint64_t expected = 0;               // messages of the run
  const Outcomes* outcomes = nullptr;  // instead of `expected`: which of them must be there
  bool from_end = false;               // only what comes from now on
  bool ordered = true;                 // each queue is checked to be ascending
  bool delayed = false;                // none may come before it is due
  // Gives up when nothing came for so long.
  std::chrono::milliseconds patience{10'000};
  size_t buffered_bytes = 8u << 20;
  // May end it early: no more than this will come.
  const std::atomic<uint64_t>* final_count = nullptr;
  // Counts what was received of the run; may be null.
  std::atomic<uint64_t>* received = nullptr;
  // Called as soon as it is ready to receive; may be empty.
  std::function<void()> on_ready;
};

// Reads all queues of the topic over dunlin.broker.v1, checks every message of the run. Latency
// counts from when the message was due. A spread load must be over: its queues are read one by one.
// DATA_LOSS when one is lost, changed, repeated, reordered or invented.
absl::StatusOr<LoadResult> Consume(const ConsumeOptions& options, const OnProgress& progress);

// User and system time of this process.
double OwnCpuSeconds();

}  // namespace dunlin::load
