// Reflector: keeps a Store equal to what the API server has of one type.
//
// Lists all objects page by page, then watches from there on. When a watch ends it begins again
// where it was: nothing is lost or told twice but what was cut off. When the server no longer knows
// that place (410, in place of a stream or within it) all is listed again, and the store finds out
// what is gone. A stream that neither events nor bookmarks come from for a while is given up.
// Failures are waited for longer and longer.
//
// Everything happens on the loop's thread, besides CurrentState(). Outlives its calls and timers:
// stop the loop first.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/retry.h"
#include "operator/k8s/store.h"
#include "operator/k8s/transport.h"
#include "operator/k8s/watch_decoder.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

struct ReflectorOptions {
  ResourceType type;
  ListOptions which;
  Backoff backoff{.first = std::chrono::milliseconds(800),
                  .max = std::chrono::milliseconds(30'000)};
  // A watch is ended by the server after this long to twice that.
  std::chrono::seconds watch_time{300};
  // Bookmarks come about once a minute.
  std::chrono::milliseconds idle_timeout{180'000};
  uint32_t seed = 1;  // of all that is random
};

class Reflector {
 public:
  struct State {
    uint64_t lists = 0;        // begun
    uint64_t watches = 0;      // begun
    uint64_t expirations = 0;  // 410
    uint64_t idle_ends = 0;    // given up
    // Since the last success; empty: all is well.
    std::string error;
  };

  // All outlive this.
  Reflector(Client& client, Transport& transport, Scheduler& scheduler, Store& store,
            ReflectorOptions options);
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  // Once.
  void Start();

  State CurrentState() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Stream;

  void BeginList();
  void ReadPage(const std::string& continue_token);
  void OnPage(const std::string& continue_token, Client::Answer page);

  void BeginWatch();
  // False: the stream is of no more use.
  bool OnWatchBytes(std::string_view part);
  absl::Status Take(WatchEvent event);
  void OnWatchEnd(const absl::Status& status, std::chrono::milliseconds at_least);
  void CheckIdle(uint64_t watch);

  enum class Next { kList, kWatch };
  void Fail(const absl::Status& why, Next next, std::chrono::milliseconds at_least);
  void Go(Next next, std::chrono::milliseconds delay);
  double Random();

  Client& client_;
  Transport& transport_;
  Scheduler& scheduler_;
  Store& store_;
  const ReflectorOptions options_;

  // Of the loop's thread.
  std::minstd_rand random_;
  std::vector<Json> listed_;
  std::string resource_version_;
  int failures_ = 0;    // since a watch brought something
  uint64_t watch_ = 0;  // the number of the current one
  CallId watch_call_ = 0;
  WatchDecoder decoder_;
  absl::Status stream_error_;  // why OnWatchBytes said no
  Timestamp watch_begun_at_{};
  Timestamp heard_at_{};
  bool idle_ = false;

  mutable Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::k8s
