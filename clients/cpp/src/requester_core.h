// RequesterCore: which requests wait, and the thread (`requester`) that hands them their replies.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/requester.h"

#include "services/base/mutex.h"

namespace dunlin::internal {

class RequesterCore {
 public:
  // Reads its replies from now on. Errors as of PullConsumer::Assign.
  static absl::StatusOr<std::shared_ptr<RequesterCore>> Start(const RequesterOptions& options,
                                                              Producer producer,
                                                              PullConsumer consumer);
  ~RequesterCore() { Close(); }

  absl::Status RequestAsync(const Message& request, std::chrono::milliseconds timeout,
                            Requester::Callback callback) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  using Deadlines = std::multimap<SteadyTime, uint64_t>;
  struct Waiting {
    Requester::Callback callback;
    Deadlines::iterator deadline;
  };

  RequesterCore(const RequesterOptions& options, Producer producer, PullConsumer consumer);

  // Reads the inbox in all queues that there are, and those that come.
  absl::Status Attach();
  // The replies cannot be read; tries again, and remembers what came of it.
  void AttachAgain() ABSL_LOCKS_EXCLUDED(mutex_);

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeReplies(const MessageBatch& batch) ABSL_LOCKS_EXCLUDED(mutex_);
  void TimeOut() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends a request with what it came to, unless it has ended.
  void Finish(uint64_t number, const absl::StatusOr<ReceivedMessage>& reply)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsReadable() ABSL_LOCKS_EXCLUDED(mutex_);
  std::chrono::milliseconds UntilNext() ABSL_LOCKS_EXCLUDED(mutex_);

  const RequesterOptions options_;
  const std::string inbox_;
  Producer producer_;
  PullConsumer consumer_;

  Mutex mutex_;
  absl::flat_hash_map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  Deadlines deadlines_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::Status readable_ ABSL_GUARDED_BY(mutex_);  // why no reply can come
  SteadyTime attach_at_;                           // thread only
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::internal
