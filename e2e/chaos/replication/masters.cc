#include "e2e/chaos/replication/masters.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

namespace dunlin::e2e {
namespace {

// The epoch, if the line says that the broker has begun to serve.
std::optional<uint32_t> EpochOf(const std::string& line) {
  constexpr std::string_view kServes = "master of broker group ";
  constexpr std::string_view kEpoch = ", epoch ";
  const size_t serves = line.find(kServes);
  if (serves == std::string::npos) return std::nullopt;
  const size_t epoch = line.find(kEpoch, serves);
  if (epoch == std::string::npos) return std::nullopt;
  return static_cast<uint32_t>(std::stoul(line.substr(epoch + kEpoch.size())));
}

}  // namespace

absl::Status FindMasters(const std::string& directory, std::map<uint32_t, std::string>& masters) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with("-broker.log")) continue;
    const std::string member = name.substr(0, name.find('-'));
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      const std::optional<uint32_t> epoch = EpochOf(line);
      if (!epoch.has_value()) continue;
      const auto [at, first] = masters.emplace(*epoch, member);
      if (!first && at->second != member) {
        return absl::DataLossError(fmt::format("{} and {} both served as masters of epoch {}",
                                               at->second, member, *epoch));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace dunlin::e2e
