// OpenStreams: the streams that are open, so that a server that stops can end them instead of
// waiting for clients that would keep them open for ever. Thread-safe.

#pragma once

#include <memory>

#include "absl/container/flat_hash_map.h"

#include "services/base/mutex.h"

namespace dunlin::broker {

// A stream as the server sees it when it stops.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  // UNAVAILABLE: the client should connect again, elsewhere or later.
  virtual void EndForStop() = 0;
};

class OpenStreams {
 public:
  // Ends it at once when the server is stopping already.
  void Add(const std::shared_ptr<OpenStream>& stream) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const OpenStream* stream) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends all of them.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<const OpenStream*, std::weak_ptr<OpenStream>> streams_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
