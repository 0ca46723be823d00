// CurlLoop: one thread that makes all calls to one API server, by libcurl.
//
// Calls share connections: over TLS they are streams of one HTTP/2 connection where the server
// speaks it, kept alive. A peer that is gone without a word is noticed by TCP within half a minute.
// Also the Scheduler of this room: its timers run on the same thread, so that what lives there
// needs no locks.
//
// Stop first, then destroy what has calls or timers here, then this. Thread-safe.

#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "operator/k8s/credentials.h"
#include "operator/k8s/transport.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

class CurlLoop final : public Transport, public Scheduler {
 public:
  // Calls at a time; what is beyond ends with RESOURCE_EXHAUSTED.
  static constexpr size_t kCallsMax = 512;

  // `clock` outlives this. `user_agent`: "name/version".
  CurlLoop(ApiServer server, std::string user_agent, const Clock& clock);
  ~CurlLoop() override;
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  CallId Start(HttpRequest request, std::unique_ptr<HttpHandler> handler) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(CallId call) override ABSL_LOCKS_EXCLUDED(mutex_);

  Timestamp Now() const override { return clock_.Now(); }
  void Post(Task task) override ABSL_LOCKS_EXCLUDED(mutex_);
  void After(std::chrono::milliseconds delay, Task task) override ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends every call with CANCELLED, drops every timer and joins the thread. Idempotent. REQUIRES:
  // not called on the loop's thread.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Call;
  struct Libcurl;  // its handles, so that its header stays inside

  void Run();
  void RunTasks() ABSL_LOCKS_EXCLUDED(mutex_);
  void Begin(CallId id, HttpRequest request, std::unique_ptr<HttpHandler> handler);
  void Reap();
  void EndAll();
  int MillisToWait() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ApiServer server_;
  const std::string user_agent_;
  const Clock& clock_;
  std::atomic<CallId> next_call_{1};

  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::multimap<Timestamp, Task> timers_ ABSL_GUARDED_BY(mutex_);

  // Of the loop's thread.
  std::unique_ptr<Libcurl> libcurl_;
  std::map<CallId, std::unique_ptr<Call>> calls_;

  std::thread thread_;
};

}  // namespace dunlin::k8s
