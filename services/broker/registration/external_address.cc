#include "services/broker/registration/external_address.h"

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

}  // namespace

ExternalAddress::ExternalAddress(const config::v1::BrokerConfig& config, FileSystem& files)
    : configured_(ParseHostPort(config.external_address())),
      path_(config.external_address_file()),
      files_(files) {}

std::optional<HostPort> ExternalAddress::Get() {
  if (path_.empty()) return configured_;
  MutexLock lock(mutex_);
  if (const auto now = std::chrono::steady_clock::now(); now >= look_at_) {
    look_at_ = now + kLookInterval;
    Look();
  }
  return in_file_.has_value() ? in_file_ : configured_;
}

void ExternalAddress::Look() {
  absl::StatusOr<std::string> read = ReadWholeFile(files_, path_);
  std::string problem;
  std::string text;
  if (read.ok()) {
    text = Trimmed(*std::move(read));
  } else if (!absl::IsNotFound(read.status())) {
    problem = read.status().ToString();
  }
  std::optional<HostPort> found = ParseHostPort(text);
  if (found.has_value() && found->port == 0) found.reset();
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
