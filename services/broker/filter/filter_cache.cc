#include "services/broker/filter/filter_cache.h"

#include <fmt/format.h>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// Of apache.rocketmq.v2.FilterType.
constexpr int32_t kUnspecified = 0;
constexpr int32_t kTag = 1;
constexpr int32_t kSql = 2;

}  // namespace

absl::StatusOr<MessageFilter> FilterCache::Get(int32_t type, std::string_view expression) {
  switch (type) {
    case kUnspecified:
    case kTag:
      return MessageFilter::Tags(expression);
    case kSql:
      return GetSql(expression);
    default:
      return PublicError(PublicCode::kIllegalFilterExpression,
                         fmt::format("filter type {} is unknown; use TAG or SQL", type));
  }
}

absl::StatusOr<MessageFilter> FilterCache::GetSql(std::string_view expression) {
  {
    MutexLock lock(mutex_);
    if (const auto found = by_expression_.find(expression); found != by_expression_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->filter;
    }
  }
  ASSIGN_OR_RETURN(const MessageFilter filter, MessageFilter::Sql(expression));
  Remember(expression, filter);
  return filter;
}

void FilterCache::Remember(std::string_view expression, const MessageFilter& filter) {
  MutexLock lock(mutex_);
  if (by_expression_.contains(expression)) return;  // compiled by two at a time
  entries_.push_front({std::string(expression), filter});
  by_expression_.emplace(expression, entries_.begin());
  bytes_ += expression.size();
  while (bytes_ > max_bytes_) {
    bytes_ -= entries_.back().expression.size();
    by_expression_.erase(entries_.back().expression);
    entries_.pop_back();
  }
}

size_t FilterCache::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace dunlin::broker
