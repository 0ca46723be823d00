// Filter: which messages of a topic a consumer wants. The broker holds messages against it; what
// does not match is not sent. Members of one consumer group use the same filter: what that of one
// of them passes over is done for the group.

#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace dunlin {

class Filter {
 public:
  enum class Language { kTags, kSql };

  // All messages.
  Filter() : Filter(Language::kTags, "*") {}
  // Those with one of some tags, which are separated by `||`; `*` is all messages.
  static Filter Tags(std::string_view tags) { return {Language::kTags, std::string(tags)}; }
  // Those whose properties fulfil a predicate, as in `price > 10 AND TAGS IN ('new', 'paid')`:
  // docs/filters.md.
  static Filter Sql(std::string_view predicate) { return {Language::kSql, std::string(predicate)}; }

  Language language() const { return language_; }
  const std::string& expression() const { return expression_; }

 private:
  Filter(Language language, std::string expression)
      : language_(language), expression_(std::move(expression)) {}

  Language language_;
  std::string expression_;
};

}  // namespace dunlin
