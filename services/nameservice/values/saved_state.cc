#include "services/nameservice/values/saved_state.h"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "services/base/crc32c.h"
#include "services/base/status_macros.h"

namespace dunlin::nameservice {
namespace {

constexpr std::string_view kMagic = "DNLNNS01";
constexpr size_t kCrcBytes = 4;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxValue = 65'536;
// Of all values together, names included: the whole is written with each change.
constexpr size_t kMaxTotal = size_t{4} << 20;

std::string Encode(const storage::v1::NameServiceState& state) {
  const std::string payload = state.SerializeAsString();
  std::string bytes(kMagic);
  const uint32_t crc = Crc32c(payload);
  for (size_t i = 0; i < kCrcBytes; ++i) bytes += static_cast<char>(crc >> (8 * i));
  return bytes + payload;
}

absl::StatusOr<storage::v1::NameServiceState> Decode(std::string_view bytes,
                                                     const std::string& path) {
  const auto damaged = [&](std::string_view what) {
    return absl::DataLossError(
        fmt::format("{}: {}; put a copy back, or remove the file: configuration values are lost "
                    "then, routes are not",
                    path, what));
  };
  if (!bytes.starts_with(kMagic)) return damaged("not the state of a name service");
  bytes.remove_prefix(kMagic.size());
  if (bytes.size() < kCrcBytes) return damaged("it ends too early");
  uint32_t crc = 0;
  for (size_t i = 0; i < kCrcBytes; ++i) {
    crc |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  bytes.remove_prefix(kCrcBytes);
  if (Crc32c(bytes) != crc) return damaged("its checksum is wrong");
  storage::v1::NameServiceState state;
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return damaged("it cannot be parsed");
  }
  return state;
}

absl::Status CheckSize(std::string_view what, size_t size) {
  if (size >= 1 && size <= kMaxName) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} has {} bytes; 1 to {} are allowed", what, size, kMaxName));
}

absl::Status NoValue(std::string_view name_space, std::string_view key) {
  return absl::NotFoundError(fmt::format("there is no value {} in {}", key, name_space));
}

template <typename Repeated>
std::vector<std::string> ToVector(const Repeated& names) {
  return {names.begin(), names.end()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<SavedState>> SavedState::Open(FileSystem& files, std::string path) {
  const absl::StatusOr<std::string> bytes = ReadWholeFile(files, path);
  storage::v1::NameServiceState state;
  if (bytes.ok()) {
    ASSIGN_OR_RETURN(state, Decode(*bytes, path));
  } else if (!absl::IsNotFound(bytes.status())) {
    return bytes.status();
  }
  return std::unique_ptr<SavedState>(new SavedState(files, std::move(path), std::move(state)));
}

storage::v1::NameServiceState SavedState::Copy() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status SavedState::Save(storage::v1::NameServiceState state) {
  RETURN_IF_ERROR(WriteFileDurably(files_, path_, Encode(state)));
  MutexLock lock(mutex_);
  state_ = std::move(state);
  return absl::OkStatus();
}

absl::Status SavedState::Put(const std::string& name_space, const std::string& key,
                             const std::string& value) {
  RETURN_IF_ERROR(CheckSize("the namespace", name_space.size()));
  RETURN_IF_ERROR(CheckSize("the key", key.size()));
  if (value.size() > kMaxValue) {
    return absl::InvalidArgumentError(
        fmt::format("the value has {} bytes; {} are allowed", value.size(), kMaxValue));
  }
  MutexLock change(change_mutex_);
  storage::v1::NameServiceState state = Copy();
  (*(*state.mutable_values())[name_space].mutable_values())[key] = value;
  if (state.ByteSizeLong() > kMaxTotal) {
    return absl::ResourceExhaustedError(fmt::format(
        "the values of a name service have {} bytes together at most; delete some", kMaxTotal));
  }
  return Save(std::move(state));
}

absl::StatusOr<std::string> SavedState::Get(const std::string& name_space,
                                            const std::string& key) const {
  MutexLock lock(mutex_);
  const auto values = state_.values().find(name_space);
  if (values == state_.values().end()) return NoValue(name_space, key);
  const auto value = values->second.values().find(key);
  if (value == values->second.values().end()) return NoValue(name_space, key);
  return value->second;
}

absl::Status SavedState::Delete(const std::string& name_space, const std::string& key) {
  MutexLock change(change_mutex_);
  storage::v1::NameServiceState state = Copy();
  const auto values = state.mutable_values()->find(name_space);
  if (values == state.mutable_values()->end() || values->second.mutable_values()->erase(key) == 0) {
    return NoValue(name_space, key);
  }
  if (values->second.values().empty()) state.mutable_values()->erase(name_space);
  return Save(std::move(state));
}

std::map<std::string, std::string> SavedState::List(const std::string& name_space) const {
  MutexLock lock(mutex_);
  const auto values = state_.values().find(name_space);
  if (values == state_.values().end()) return {};
  return {values->second.values().begin(), values->second.values().end()};
}

SavedState::Groups SavedState::groups() const {
  MutexLock lock(mutex_);
  return {ToVector(state_.known_groups()), ToVector(state_.read_only_groups())};
}

absl::Status SavedState::SaveGroups(const Groups& groups) {
  MutexLock change(change_mutex_);
  storage::v1::NameServiceState state = Copy();
  if (ToVector(state.known_groups()) == groups.known &&
      ToVector(state.read_only_groups()) == groups.read_only) {
    return absl::OkStatus();
  }
  state.clear_known_groups();
  for (const std::string& name : groups.known) state.add_known_groups(name);
  state.clear_read_only_groups();
  for (const std::string& name : groups.read_only) state.add_read_only_groups(name);
  return Save(std::move(state));
}

}  // namespace dunlin::nameservice
