// CompareWithSqlite: random filters on random messages, here and in SQLite (random_filter.h says
// what that can show).

#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace dunlin::broker {

struct Compared {
  uint64_t filters = 0;
  // Filters times messages, by what came out. Each is compared as one of three truth values, and
  // as whether the message passes.
  uint64_t trues = 0;
  uint64_t falses = 0;
  uint64_t unknowns = 0;

  uint64_t checks() const { return trues + falses + unknowns; }
};

// Until `checks` were made. INTERNAL names the first difference, with filter and message.
// `progress` is called now and then.
absl::Status CompareWithSqlite(uint64_t seed, uint64_t checks, Compared& compared,
                               const std::function<void(const Compared&)>& progress);

}  // namespace dunlin::broker
