// WatchDecoder: cuts a watch's stream of bytes into events, one JSON document a line.
//
// Parts may end anywhere. Memory: one line, at most kLineBytesMax. Not thread-safe.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "operator/k8s/json.h"

namespace dunlin::k8s {

struct WatchEvent {
  enum class Kind { kAdded, kModified, kDeleted, kBookmark, kError };

  Kind kind = Kind::kError;
  Json object;  // of kError: a Status
};

class WatchDecoder {
 public:
  // An object has at most some 3 MiB, and is then as large as etcd lets it be.
  static constexpr size_t kLineBytesMax = 16 << 20;

  // Appends the events that are whole to `events`. OUT_OF_RANGE: a line is too long.
  // INVALID_ARGUMENT: a line is not an event. After an error there is no going on.
  absl::Status Add(std::string_view part, std::vector<WatchEvent>& events);

 private:
  static absl::Status Decode(std::string_view line, std::vector<WatchEvent>& events);

  std::string line_;  // its beginning
};

}  // namespace dunlin::k8s
