// CommandStreams: the Telemetry streams that are open, by client, so that the server can tell a
// client something. Thread-safe.

#pragma once

#include <string_view>
#include <vector>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace dunlin::broker {

class CommandStream {
 public:
  // Must not call CommandStreams.
  virtual void Send(const apache::rocketmq::v2::TelemetryCommand& command) = 0;

 protected:
  ~CommandStream() = default;
};

class CommandStreams {
 public:
  void Add(std::string_view client_id, CommandStream& stream) ABSL_LOCKS_EXCLUDED(mutex_);
  // It is not used any more when this returns. Nothing happens to one that was not added.
  void Remove(std::string_view client_id, CommandStream& stream) ABSL_LOCKS_EXCLUDED(mutex_);

  // On every stream of the client. False when it has none.
  bool Send(std::string_view client_id, const apache::rocketmq::v2::TelemetryCommand& command)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  StringMap<std::vector<CommandStream*>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
