#include "services/broker/filter/tag_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/broker/codes/public_code.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

// Each message is held against each tag, by a thread that serves others, too.
constexpr size_t kMaxBytes = 4096;
constexpr size_t kMaxTags = 128;
constexpr std::string_view kSeparator = "||";
constexpr std::string_view kBlanks = " \t";

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

absl::StatusOr<TagFilter> TagFilter::Parse(std::string_view expression) {
  TagFilter filter;
  if (expression.size() > kMaxBytes) {
    return PublicError(PublicCode::kIllegalFilterExpression,
                       fmt::format("the filter expression has {} bytes; at most {} are allowed",
                                   expression.size(), kMaxBytes));
  }
  if (Trim(expression).empty() || Trim(expression) == "*") return filter;
  while (!expression.empty()) {
    const size_t end = std::min(expression.find(kSeparator), expression.size());
    const std::string_view tag = Trim(expression.substr(0, end));
    expression.remove_prefix(std::min(end + kSeparator.size(), expression.size()));
    if (tag.empty()) continue;
    if (filter.tags_.size() == kMaxTags) {
      return PublicError(PublicCode::kIllegalFilterExpression,
                         fmt::format("the filter expression names more than {} tags; subscribe to "
                                     "all with * and choose in the consumer",
                                     kMaxTags));
    }
    if (std::any_of(tag.begin(), tag.end(), IsControl)) {
      return PublicError(PublicCode::kIllegalFilterExpression,
                         "a tag of the filter expression has a control character");
    }
    filter.tags_.emplace_back(tag);
    filter.hashes_.push_back(store::TagHash(tag));
  }
  if (filter.tags_.empty()) {
    return PublicError(PublicCode::kIllegalFilterExpression,
                       "the filter expression names no tag; give tags separated by ||, or *");
  }
  return filter;
}

bool TagFilter::MayMatch(uint32_t tag_hash) const {
  return matches_all() || std::find(hashes_.begin(), hashes_.end(), tag_hash) != hashes_.end();
}

bool TagFilter::Matches(std::string_view tag) const {
  return matches_all() || std::find(tags_.begin(), tags_.end(), tag) != tags_.end();
}

}  // namespace dunlin::broker
