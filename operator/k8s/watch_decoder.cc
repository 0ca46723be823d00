#include "operator/k8s/watch_decoder.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "services/base/status_macros.h"

namespace dunlin::k8s {
namespace {

std::optional<WatchEvent::Kind> KindOf(std::string_view type) {
  if (type == "ADDED") return WatchEvent::Kind::kAdded;
  if (type == "MODIFIED") return WatchEvent::Kind::kModified;
  if (type == "DELETED") return WatchEvent::Kind::kDeleted;
  if (type == "BOOKMARK") return WatchEvent::Kind::kBookmark;
  if (type == "ERROR") return WatchEvent::Kind::kError;
  return std::nullopt;
}

}  // namespace

absl::Status WatchDecoder::Add(std::string_view part, std::vector<WatchEvent>& events) {
  while (!part.empty()) {
    const size_t end = part.find('\n');
    const std::string_view piece = part.substr(0, end);
    if (line_.size() + piece.size() > kLineBytesMax) {
      return absl::OutOfRangeError(
          fmt::format("an event of a watch is larger than {} bytes", kLineBytesMax));
    }
    if (end == std::string_view::npos) {
      line_ += piece;
      return absl::OkStatus();
    }
    part.remove_prefix(end + 1);
    if (line_.empty()) {
      RETURN_IF_ERROR(Decode(piece, events));
    } else {
      const std::string line = std::exchange(line_, {}).append(piece);
      RETURN_IF_ERROR(Decode(line, events));
    }
  }
  return absl::OkStatus();
}

absl::Status WatchDecoder::Decode(std::string_view line, std::vector<WatchEvent>& events) {
  if (line.empty() || line == "\r") return absl::OkStatus();
  ASSIGN_OR_RETURN(Json json, ParseJson(line));
  const std::optional<WatchEvent::Kind> kind = KindOf(StringAt(json, {"type"}));
  const Json* const object = Find(json, {"object"});
  if (!kind.has_value() || object == nullptr || !object->is_object()) {
    return absl::InvalidArgumentError(
        fmt::format("not an event of a watch: {}", line.substr(0, 200)));
  }
  events.push_back({.kind = *kind, .object = std::move(json["object"])});
  return absl::OkStatus();
}

}  // namespace dunlin::k8s
