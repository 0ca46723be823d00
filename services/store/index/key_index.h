// KeyIndex: from a message key or message id to places in the log. Hashes, so the reader verifies.

#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"

namespace dunlin::store {

class KeyIndex {
 public:
  virtual ~KeyIndex() = default;

  // Candidates, newest first, at most `limit`: records of `topic` that carry `key` or a key with
  // the same hash. Expired ones are left out.
  virtual absl::StatusOr<std::vector<LogOffset>> FindByKey(TopicId topic, std::string_view key,
                                                           size_t limit) const = 0;
  virtual absl::StatusOr<std::vector<LogOffset>> FindByMessageId(TopicId topic,
                                                                 std::string_view message_id,
                                                                 size_t limit) const = 0;
};

}  // namespace dunlin::store
