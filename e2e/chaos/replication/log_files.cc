#include "e2e/chaos/replication/log_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>

#include "services/base/bytes.h"

namespace dunlin::e2e {
namespace {

constexpr size_t kHeaderSize = 56;
constexpr uint8_t kPadding = 7;  // kind of a record: the rest of the segment is not used

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The files of a log by the offset at which they begin.
std::map<uint64_t, std::filesystem::path> SegmentsOf(const std::string& store) {
  std::map<uint64_t, std::filesystem::path> segments;
  for (const auto& entry : std::filesystem::directory_iterator(store + "/log")) {
    const std::string name = entry.path().filename();
    if (name.size() == 20 && name.find_first_not_of("0123456789") == std::string::npos) {
      segments[std::stoull(name)] = entry.path();
    }
  }
  return segments;
}

// Where the records of a segment end: what is behind padding is no part of the log.
size_t EndOfRecords(std::string_view segment) {
  size_t at = 0;
  while (segment.size() - at >= kHeaderSize) {
    const auto length = LoadLittle<uint32_t>(segment.data() + at);
    const auto kind = static_cast<uint8_t>(segment[at + 8]);
    if (length < kHeaderSize || length > segment.size() - at) break;
    at += RoundUp(length, 8);
    if (kind == kPadding) break;
  }
  return std::min(at, segment.size());
}

}  // namespace

absl::Status CompareLogs(const std::string& store, const std::string& other, uint64_t end,
                         uint64_t& compared) {
  const auto segments = SegmentsOf(store);
  const auto others = SegmentsOf(other);
  for (const auto& [begin, path] : segments) {
    if (begin >= end) break;
    const auto found = others.find(begin);
    // A slave may have let go of what its master may.
    if (found == others.end() && !others.empty() && begin < others.begin()->first) continue;
    if (found == others.end()) {
      return absl::DataLossError(
          fmt::format("{} has a segment at {}, {} has none", store, begin, other));
    }
    const std::string mine = Contents(path);
    const std::string theirs = Contents(found->second);
    const size_t size = std::min<size_t>(end - begin, EndOfRecords(mine));
    if (theirs.size() < size) {
      return absl::DataLossError(fmt::format("{} is cut short", found->second.string()));
    }
    const auto differ =
        std::mismatch(mine.begin(), mine.begin() + static_cast<int64_t>(size), theirs.begin());
    const auto same = static_cast<uint64_t>(differ.first - mine.begin());
    if (same < size) {
      return absl::DataLossError(fmt::format("the logs of {} and {} differ at {}, below {}", store,
                                             other, begin + same, end));
    }
    compared += size;
  }
  return absl::OkStatus();
}

}  // namespace dunlin::e2e
