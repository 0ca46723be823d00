#include "services/replicator/driver/group_mark.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/status_macros.h"

namespace dunlin::replicator {
namespace {

// "DUNLINGR", epoch u64, the name of the group, CRC-32C u32 of everything before it.
constexpr std::string_view kMagic = "DUNLINGR";
constexpr size_t kNameAt = 16;
constexpr size_t kCrcSize = 4;

}  // namespace

absl::StatusOr<std::optional<GroupMark>> LoadGroupMark(FileSystem& files, const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadWholeFile(files, path);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  const size_t covered = bytes->size() - std::min(bytes->size(), kCrcSize);
  if (covered < kNameAt || bytes->compare(0, kMagic.size(), kMagic) != 0 ||
      Crc32c({bytes->data(), covered}) != LoadLittle<uint32_t>(bytes->data() + covered)) {
    return absl::DataLossError(
        fmt::format("{} is damaged, so that this member does not know whose log it holds. Empty "
                    "its store to let it begin anew from the others",
                    path));
  }
  return GroupMark{
      .group = bytes->substr(kNameAt, covered - kNameAt),
      .seen = Epoch(static_cast<uint32_t>(LoadLittle<uint64_t>(bytes->data() + kMagic.size())))};
}

absl::Status SaveGroupMark(FileSystem& files, const std::string& path, const GroupMark& mark) {
  std::string bytes(kMagic);
  bytes.resize(kNameAt);
  StoreLittle(bytes.data() + kMagic.size(), uint64_t{mark.seen.value()});
  bytes += mark.group;
  const uint32_t crc = Crc32c(bytes);
  bytes.resize(bytes.size() + kCrcSize);
  StoreLittle(bytes.data() + bytes.size() - kCrcSize, crc);
  return WriteFileDurably(files, path, bytes);
}

}  // namespace dunlin::replicator
