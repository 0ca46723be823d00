#include "services/store/log/control_page.h"

#include <cstring>
#include <new>
#include <string_view>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// Constant part: "DUNLINCP", format u32, CRC-32C u32 of the 12 bytes before it. From byte 64 on the
// offsets.
constexpr std::string_view kMagic = "DUNLINCP";
constexpr uint32_t kFormat = 1;
constexpr size_t kPageSize = 4096;
constexpr size_t kOffsetsAt = 64;
static_assert(sizeof(ControlPage::Offsets) == 40 && std::atomic<uint64_t>::is_always_lock_free);

std::string ConstantPart() {
  std::string bytes(kMagic);
  bytes.resize(16);
  StoreLittle(bytes.data() + 8, kFormat);
  StoreLittle(bytes.data() + 12, Crc32c({bytes.data(), 12}));
  return bytes;
}

}  // namespace

ControlPage::ControlPage(char* page)
    : page_(page), offsets_(std::launder(reinterpret_cast<Offsets*>(page + kOffsetsAt))) {}

ControlPage::~ControlPage() { Unmap(page_, kPageSize); }

absl::StatusOr<std::unique_ptr<ControlPage>> ControlPage::Open(FileSystem& files,
                                                               const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(path, OpenMode::kCreate));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  const std::string constant = ConstantPart();
  bool ours = false;
  if (size == kPageSize) {
    ASSIGN_OR_RETURN(const std::string found, file->ReadAt(0, constant.size()));
    ours = found == constant;
  }
  if (!ours) {
    if (size != 0) log::Warning("{} is not a control page of this version: made anew", path);
    RETURN_IF_ERROR(file->Truncate(0));
    std::string page = constant;
    page.resize(kPageSize);
    const std::string_view piece = page;
    RETURN_IF_ERROR(file->WriteAt(0, {&piece, 1}));
  }
  ASSIGN_OR_RETURN(char* const page, file->Map(kPageSize, /*writable=*/true));
  return std::unique_ptr<ControlPage>(new ControlPage(page));
}

}  // namespace dunlin::store
