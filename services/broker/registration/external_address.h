// ExternalAddress: where clients outside of the brokers' network reach this one, by configuration
// or by a file that may change (broker.external_address, broker.external_address_file).
//
// Thread-safe. Looks at the file once a second at most, and only when it is asked.

#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/runtime/host_port.h"

namespace dunlin::broker {

class ExternalAddress {
 public:
  // `files` must outlive it.
  ExternalAddress(const config::v1::BrokerConfig& config, FileSystem& files);

  // nullopt: there is none now. What the file holds counts until it holds another address, or
  // nothing, or is gone; text that is no address is logged and changes nothing.
  std::optional<HostPort> Get() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Take(absl::StatusOr<std::string> read) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::optional<HostPort> configured_;
  const std::string path_;  // empty: there is no file
  FileSystem& files_;
  Mutex mutex_;
  std::chrono::steady_clock::time_point look_at_ ABSL_GUARDED_BY(mutex_);
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;  // somebody reads the file
  std::optional<HostPort> in_file_ ABSL_GUARDED_BY(mutex_);
  std::string refused_ ABSL_GUARDED_BY(mutex_);  // what was logged already
};

}  // namespace dunlin::broker
