// ProducerSessions: the Telemetry streams of producers, by the topics they announced; whom to ask
// about a topic.
//
// Thread-safe; no lock is held while a session is used.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace dunlin::broker {

// One stream. Outlives its call in the hands of whoever uses it.
class ProducerSession {
 public:
  virtual ~ProducerSession() = default;
  // A serialised TelemetryCommand, to be sent. False: the stream is over, or its client does not
  // read as fast as it is sent to.
  virtual bool Offer(const std::string& command) = 0;
};

class ProducerSessions {
 public:
  // The session is that of a producer of these topics, by qualified name; what it said before is
  // replaced.
  void Put(const std::shared_ptr<ProducerSession>& session, const std::vector<std::string>& topics)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const std::shared_ptr<ProducerSession>& session) ABSL_LOCKS_EXCLUDED(mutex_);

  enum class Outcome { kOffered, kBusy, kNobody };
  // Offers it to the sessions of the topic in turn until one takes it; the next call begins with
  // another one.
  Outcome Offer(std::string_view topic, const std::string& command) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasAny(std::string_view topic) const ABSL_LOCKS_EXCLUDED(mutex_);

  // How often a session came, or announced other topics.
  uint64_t arrivals() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Topic {
    std::vector<std::shared_ptr<ProducerSession>> sessions;
    size_t turn = 0;
  };

  void RemoveLocked(const ProducerSession* session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  StringMap<Topic> topics_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<const ProducerSession*, std::vector<std::string>> announced_
      ABSL_GUARDED_BY(mutex_);
  uint64_t arrivals_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
