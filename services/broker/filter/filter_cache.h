// FilterCache: compiled filters of the subscriptions of late, so that an expression that comes with
// every request is parsed once. Thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/broker/filter/message_filter.h"

namespace dunlin::broker {

class FilterCache {
 public:
  // Holds SQL expressions of `max_bytes` together; compiled they take some twenty times as much.
  explicit FilterCache(size_t max_bytes = size_t{1} << 20) : max_bytes_(max_bytes) {}

  // `type` is an apache.rocketmq.v2.FilterType: unspecified means TAG. ILLEGAL_FILTER_EXPRESSION,
  // also of an unknown type.
  absl::StatusOr<MessageFilter> Get(int32_t type, std::string_view expression)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Expressions that are held.
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::string expression;
    MessageFilter filter;
  };

  absl::StatusOr<MessageFilter> GetSql(std::string_view expression) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remember(std::string_view expression, const MessageFilter& filter)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const size_t max_bytes_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // the one used last first
  StringMap<std::list<Entry>::iterator> by_expression_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
