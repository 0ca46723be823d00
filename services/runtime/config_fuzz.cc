// Fuzzes the configuration loader: any file is loaded or refused, and what was loaded is printed so
// that it loads again as the same.

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/check.h"
#include "services/runtime/config.h"
#include "services/runtime/unique_fd.h"

namespace dunlin {
namespace {

absl::StatusOr<config::v1::DunlinConfig> LoadText(std::string_view text) {
  const UniqueFd file(memfd_create("dunlin.yaml", MFD_CLOEXEC));
  CHECK(file.ok());
  CHECK(write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ConfigSources sources;
  sources.file = fmt::format("/proc/self/fd/{}", file.get());
  config::v1::DunlinConfig config;
  const absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources, config);
  if (!origins.ok()) {
    CHECK(!origins.status().message().empty());
    return origins.status();
  }
  return config;
}

void LoadTwice(std::string_view text) {
  const absl::StatusOr<config::v1::DunlinConfig> first = LoadText(text);
  if (!first.ok()) return;
  const std::string printed = PrintConfig(*first, ConfigOrigins());
  const absl::StatusOr<config::v1::DunlinConfig> second = LoadText(printed);
  CHECK(second.ok(), printed);
  CHECK(PrintConfig(*second, ConfigOrigins()) == printed, printed);
}

void LoadAsOverride(std::string_view text) {
  ConfigSources sources;
  sources.overrides.emplace_back(text);
  config::v1::DunlinConfig config;
  const absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources, config);
  CHECK(origins.ok() || !origins.status().message().empty());
}

}  // namespace
}  // namespace dunlin

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  dunlin::LoadTwice(text);
  dunlin::LoadAsOverride(text);
  return 0;
}
