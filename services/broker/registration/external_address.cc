#include "services/broker/registration/external_address.h"

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/log.h"

namespace dunlin::broker {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
constexpr char kSpace[] = " \t\r\n";

std::string Trimmed(std::string text) {
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, text.find_first_not_of(kSpace));
  return text;
}

// Name services take no other into routes.
std::optional<HostPort> Usable(std::string_view text) {
  constexpr size_t kMaxHost = 255;
  std::optional<HostPort> address = ParseHostPort(text);
  if (address.has_value() && (address->port == 0 || address->host.size() > kMaxHost)) {
    address.reset();
  }
  return address;
}

}  // namespace

ExternalAddress::ExternalAddress(const config::v1::BrokerConfig& config, FileSystem& files)
    : configured_(Usable(config.external_address())),
      path_(config.external_address_file()),
      files_(files) {
  if (!config.external_address().empty() && !configured_.has_value()) {
    log::Warning("broker.external_address: {} is none that clients could use: give host:port",
                 config.external_address());
  }
}

std::optional<HostPort> ExternalAddress::Get() {
  if (path_.empty()) return configured_;
  bool looks = false;
  {
    MutexLock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    looks = now >= look_at_ && !looking_;
    if (looks) {
      looking_ = true;
      look_at_ = now + kLookInterval;
    }
  }
  // Others go on with what is known while one reads, however long that takes.
  if (looks) Take(ReadWholeFile(files_, path_));
  MutexLock lock(mutex_);
  return in_file_.has_value() ? in_file_ : configured_;
}

void ExternalAddress::Take(absl::StatusOr<std::string> read) {
  MutexLock lock(mutex_);
  looking_ = false;
  std::string problem;
  std::string text;
  if (read.ok()) {
    text = Trimmed(*std::move(read));
  } else if (!absl::IsNotFound(read.status())) {
    problem = read.status().ToString();
  }
  std::optional<HostPort> found = Usable(text);
  if (problem.empty() && !text.empty() && !found.has_value()) {
    problem = "\"" + text.substr(0, 256) + "\" is not host:port";
  }
  if (problem.empty()) {
    if (found != in_file_) {
      log::Info("the external address is {}", found.has_value() ? FormatHostPort(*found) : "unset");
    }
    in_file_ = std::move(found);
  } else if (problem != refused_) {
    log::Warning("{} (broker.external_address_file): {}; what was known before counts", path_,
                 problem);
  }
  refused_ = std::move(problem);
}

}  // namespace dunlin::broker
