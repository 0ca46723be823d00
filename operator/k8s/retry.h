// The rules of when a call is made again, and after how long. Pure; any thread.

#pragma once

#include <chrono>
#include <optional>

#include "operator/k8s/transport.h"

namespace dunlin::k8s {

// Doubles from `first` to `max`; jitter takes up to a half of it away, so that many who failed
// together do not come back together.
struct Backoff {
  std::chrono::milliseconds first{100};
  std::chrono::milliseconds max{10'000};

  // `failures`: how many there were in a row, from 1. `jitter`: in [0, 1).
  std::chrono::milliseconds DelayAfter(int failures, double jitter) const;
};

struct RetryRules {
  int attempts_max = 5;
  Backoff backoff;
  // A server that asks for more is believed, and the call fails.
  std::chrono::seconds retry_after_max{30};
};

// How an attempt ended.
struct Attempt {
  int number = 1;           // from 1
  bool idempotent = false;  // doing it twice is doing it once
  HttpHead head;            // code 0: there was no answer
  HttpEnd end;
};

// nullopt: not again. What was refused before it was done (429, 503 with Retry-After, never sent)
// is done again whatever it is; what may have been done (5xx, a connection that broke) only when it
// is idempotent; a credential that was refused (401) once, since it may just have been replaced.
std::optional<std::chrono::milliseconds> RetryDelay(const RetryRules& rules, const Attempt& attempt,
                                                    double jitter);

}  // namespace dunlin::k8s
