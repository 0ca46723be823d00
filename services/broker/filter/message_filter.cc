#include "services/broker/filter/message_filter.h"

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {

absl::StatusOr<MessageFilter> MessageFilter::Tags(std::string_view expression) {
  ASSIGN_OR_RETURN(TagFilter tags, TagFilter::Parse(expression));
  MessageFilter filter;
  if (!tags.matches_all()) filter.tags_ = std::make_shared<const TagFilter>(std::move(tags));
  return filter;
}

absl::StatusOr<MessageFilter> MessageFilter::Sql(std::string_view expression) {
  ASSIGN_OR_RETURN(SqlFilter sql, SqlFilter::Parse(expression));
  MessageFilter filter;
  filter.sql_ = std::make_shared<const Predicate>(std::move(sql));
  return filter;
}

bool MessageFilter::MayMatch(uint32_t tag_hash) const {
  if (tags_ != nullptr) return tags_->MayMatch(tag_hash);
  if (sql_ == nullptr) return true;
  const SqlFilter::Tags& tags = sql_->filter.tags();
  return tags.any || std::binary_search(tags.hashes.begin(), tags.hashes.end(), tag_hash);
}

bool MessageFilter::Matches(std::string_view payload, uint32_t properties_offset,
                            size_t& searched) const {
  if (tags_ != nullptr) {
    const absl::StatusOr<StoredMessage> stored = ScanStored(payload, properties_offset);
    return stored.ok() && tags_->Matches(stored->tag);
  }
  if (sql_ == nullptr) return true;
  SqlValues values(sql_->filter.properties().size());
  return sql_->properties.Read(payload, properties_offset, values, searched) &&
         sql_->filter.Evaluate(values, searched) == SqlTruth::kTrue;
}

}  // namespace dunlin::broker
