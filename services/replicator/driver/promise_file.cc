#include "services/replicator/driver/promise_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/status_macros.h"

namespace dunlin::replicator {
namespace {

// "DUNLINPR", epoch u64, CRC-32C u32 of the 16 bytes before it.
constexpr std::string_view kMagic = "DUNLINPR";
constexpr size_t kCovered = 16;
constexpr size_t kSize = kCovered + 4;

}  // namespace

absl::StatusOr<std::optional<Epoch>> LoadPromise(FileSystem& files, const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadWholeFile(files, path);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  if (bytes->size() != kSize || bytes->compare(0, kMagic.size(), kMagic) != 0 ||
      Crc32c({bytes->data(), kCovered}) != LoadLittle<uint32_t>(bytes->data() + kCovered)) {
    return absl::DataLossError(
        fmt::format("{} is damaged, so that this member does not know what it has promised. Empty "
                    "its store to let it begin anew from the others",
                    path));
  }
  return Epoch(static_cast<uint32_t>(LoadLittle<uint64_t>(bytes->data() + kMagic.size())));
}

absl::Status SavePromise(FileSystem& files, const std::string& path, Epoch epoch) {
  std::string bytes(kMagic);
  bytes.resize(kSize);
  StoreLittle(bytes.data() + kMagic.size(), uint64_t{epoch.value()});
  StoreLittle(bytes.data() + kCovered, Crc32c({bytes.data(), kCovered}));
  return WriteFileDurably(files, path, bytes);
}

absl::Status RemovePromise(FileSystem& files, const std::string& path) {
  const absl::Status removed = files.Remove(path);
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  RETURN_IF_ERROR(removed);
  return files.SyncDirectory(std::filesystem::path(path).parent_path());
}

}  // namespace dunlin::replicator
